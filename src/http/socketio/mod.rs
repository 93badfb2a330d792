//! The Socket.IO protocol, at `/socket.io/`: the same session as a plain WebSocket's in the packets
//! of Socket.IO, so that unmodified clients work.
//!
//! | file | contents |
//! |---|---|
//! | `engine`, `packet` | the packets of Engine.IO and of Socket.IO: parsing and writing |
//! | `client/` | the handling of a client's packets, independent of the transport |
//! | `heartbeat` | the times of pings, and the side that sends them |
//! | `websocket`, `polling` | the transports |
//! | `upgrade` | the switch from polling to a WebSocket |
//! | `requests` | the HTTP requests and their answers |
//! | `table` | the clients that poll, by the id in their requests |

mod client;
pub mod engine;
mod heartbeat;
pub mod packet;
mod polling;
mod requests;
mod table;
mod upgrade;
mod websocket;

pub(super) use self::{requests::serve, table::SocketIo};
