//! The TCP listeners of the server: they accept connections, and choose the protocol by their first
//! bytes.
//!
//! | first byte | protocol |
//! |---|---|
//! | 22 | TLS (RFC 8446 §5.1); its content is inspected in the same way |
//! | 0–3 | STUN framing (RFC 8489 §6.2.2): the relay |
//! | anything else | HTTP |
//!
//! STUN and TURN are served on every listener, plain and under TLS. HTTP is served under TLS on
//! every listener, too, and as plain HTTP only on `--http`, since tokens would be sent unencrypted.
//! A connection for the relay moves to one of its workers, with its socket and TLS session, and is
//! not touched here again.

pub mod acme;
mod certificate_error;
mod certificate_files;
mod certificates;
mod chain;
mod connection;
mod current;
mod limited_stream;
mod listeners;
mod pair;
mod proxy_protocol;
mod server_certificate;
mod validity_remark;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use callbox_base::addresses::Networks;
use callbox_relay::NewStream;
use ipnet::IpNet;

pub use self::{
    certificate_error::CertificateError,
    certificates::{CertificateSource, Certificates},
    listeners::{Acceptor, Listener},
    server_certificate::ServerCertificate,
    validity_remark::Remark,
};
use crate::http;

/// The settings of the server's listeners, beyond those that the relay has bound.
#[derive(Debug, Clone)]
pub struct Config {
    /// The addresses on which TLS is served; the first bytes inside decide on the protocol.
    pub tls_listen: Vec<SocketAddr>,
    /// The source of the certificate; without one there is no TLS on any listener.
    pub certificate: Option<CertificateSource>,
    /// The proxies whose connections begin with a PROXY protocol header, and their listeners.
    pub proxies: HeaderSenders,
}

/// The proxies whose connections begin with a PROXY protocol header, and their listeners.
#[derive(Debug, Clone, Default)]
pub struct HeaderSenders {
    networks: Networks,
    roles: Vec<Role>,
}

impl HeaderSenders {
    /// Includes those in `networks`, on listeners of these roles; on every one if `roles` is empty.
    pub fn new(networks: Vec<IpNet>, roles: Vec<Role>) -> Self {
        Self { networks: Networks::new(networks), roles }
    }

    /// Returns true if a connection from `ip` to a listener of this role begins with a header.
    fn include(&self, ip: IpAddr, role: Role) -> bool {
        (self.roles.is_empty() || self.roles.contains(&role)) && self.networks.contains(ip)
    }
}

/// The plain protocols that a listener serves besides STUN and TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `--http`: HTTP.
    Http,
    /// `--listen`: none.
    Turn,
    /// `--tls-listen`: none.
    Tls,
}

/// Takes connections that are for the relay.
pub type OnStream = Arc<dyn Fn(NewStream) + Send + Sync>;

/// The parts of the server that every connection needs.
#[derive(Clone)]
pub struct Wiring {
    /// Serves HTTP, and limits the number of connections.
    pub http: http::Service,
    /// Serves STUN and TURN.
    pub on_stream: OnStream,
    /// The certificates, if TLS is served.
    pub certificates: Option<Arc<Certificates>>,
    /// The proxies whose connections begin with a PROXY protocol header, and their listeners.
    pub proxies: Arc<HeaderSenders>,
}
