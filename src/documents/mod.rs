//! The documents that are generated from the types of messages: for programs, and for programmers
//! of clients. `cargo xtask generate` writes them, and the server serves them from there.
//!
//! | file | document |
//! |---|---|
//! | `asyncapi` | `docs/asyncapi.json`: the events over a WebSocket |
//! | | `docs/openapi.json`: the HTTP API, which is described at its handlers |
//! | `typescript` | `clients/js/events.d.ts`: the events' types for TypeScript |

mod asyncapi;
mod schemas;
mod typescript;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::ser::PrettyFormatter;

pub use asyncapi::asyncapi;
pub use typescript::typescript;

/// Returns the text of `docs/openapi.json`.
pub fn openapi() -> String {
    pretty(&crate::http::described())
}

/// Returns a document in the form that is stored in the tree.
fn pretty(document: &impl Serialize) -> String {
    let mut text = Vec::new();
    // It is a part of the binary, so it has no more white space than its lines need.
    let formatter = PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    document.serialize(&mut serializer).expect("a document has only keys of text");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is UTF-8")
}
