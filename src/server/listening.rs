//! The addresses of the listeners.

use std::net::SocketAddr;

use serde::Serialize;

/// The addresses of the listeners, with their actual ports, by the options that set them. A server
/// with these addresses in its options is found by the clients of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listening {
    /// The address of plain HTTP.
    pub http: SocketAddr,
    /// The addresses of STUN and TURN.
    pub listen: Vec<SocketAddr>,
    /// The addresses of TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_listen: Vec<SocketAddr>,
}
