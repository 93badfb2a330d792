//! A client's connection on its way into a worker.

use std::{any::Any, fmt, net::SocketAddr, time::Instant};

use rustls::ServerConnection;

/// A connection whose first bytes have shown that it is for the relay.
pub struct NewStream {
    /// The connection, in non-blocking mode.
    pub socket: std::net::TcpStream,
    /// The bytes that have been read from it already.
    pub received: Vec<u8>,
    /// The TLS session, with its handshake done, if the connection is under TLS.
    pub tls: Option<Box<ServerConnection>>,
    /// The client's address.
    pub client: SocketAddr,
    /// The local address that the client connected to.
    pub local: SocketAddr,
    /// The time when it was last of use to an allocation; at first, the time when it was accepted.
    pub used: Instant,
    /// The slot that it takes among the connections; it is freed when the stream is closed.
    pub lease: Box<dyn Any + Send>,
}

impl fmt::Debug for NewStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        f.debug_struct("NewStream").field("local", &self.local).field("tls", &tls).finish()
    }
}
