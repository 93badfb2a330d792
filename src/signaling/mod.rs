//! The hub's mind: sessions, calls and the events between them, with no I/O in it.
//!
//! A front (WebSocket, Socket.IO) turns frames into [`Input`]s; [`Hub::handle`] decides; the
//! [`Output`]s say what to send to whom. Time and randomness come from outside.

mod io;

pub use io::{Answer, CloseReason, Event, Input, Output, RequestId};
