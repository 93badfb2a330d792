//! The documents that are made from the types of what is sent: for programs, and for programmers of
//! clients. `tests/reference.rs` keeps them in the tree, and the server serves them from there.
//!
//! | file | document |
//! |---|---|
//! | `typescript` | `clients/js/events.d.ts`: the events' types for TypeScript |

mod schemas;
mod typescript;

pub use typescript::typescript;
