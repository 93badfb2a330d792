//! The facts about a connection and a request that are known before the request is read.

use std::net::SocketAddr;

use super::forwarded::Scheme;

/// The source of a request: the client's address, as reported by trusted proxies if it came through
/// them. The port is 0 if they do not report it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote(pub SocketAddr);

/// The kind of listener by which a request came: on the inner one, the metrics are open to clients
/// on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// By --http, and not through a proxy.
    Inner,
    /// By a listener that is open to everybody, or through a proxy that may be.
    Public,
}

/// The way by which a request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// True if the request came through a proxy, as far as can be seen.
    pub by_proxy: bool,
    /// The scheme of the client's request, if it is known.
    pub scheme: Option<Scheme>,
    /// True if the client is on this machine, as far as can be seen.
    pub is_local: bool,
}

/// The way by which a connection came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The address that has opened it: that of a client, or of a proxy that speaks HTTP.
    pub remote: SocketAddr,
    /// True if a proxy has forwarded the connection, and has reported its client by the PROXY
    /// protocol.
    pub by_proxy: bool,
    /// The kind of listener by which it came.
    pub entrance: Entrance,
    /// True if the connection is under TLS.
    pub is_tls: bool,
    /// True if the connection speaks HTTP/2.
    pub is_http2: bool,
}
