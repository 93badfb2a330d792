//! The Socket.IO front on the wire: both transports, the upgrade, authentication, invalid input. An
//! unmodified `socket.io-client` is driven by `tests/socketio/`.

mod connections;
mod messages;
mod polling;
mod session;

const CONNECTIONS: &str = "callbox_connections{front=\"socketio\"}";
