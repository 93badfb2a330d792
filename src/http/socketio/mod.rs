//! The Socket.IO front, at `/socket.io/`: the same session as a plain WebSocket's in the packets of
//! Socket.IO, so that unmodified clients work.
//!
//! | file | what lives there |
//! |---|---|
//! | `engine`, `packet` | the packets of Engine.IO and of Socket.IO, read and written |
//! | `client/` | what a client's packets do, whichever transport carries them |
//! | `heartbeat` | when which side asks whether the other is there |
//! | `websocket`, `polling` | the transports |
//! | `upgrade` | from one to the other |
//! | `requests` | what a request wants, and its answer |
//! | `table` | the clients that poll, for the requests that are theirs |

mod client;
pub mod engine;
mod heartbeat;
pub mod packet;
mod polling;
mod requests;
mod table;
mod upgrade;
mod websocket;

pub(super) use self::{requests::serve, table::Front};
