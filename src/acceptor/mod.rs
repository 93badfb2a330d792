//! Every TCP listener of the server: takes connections, and finds out from their first bytes who
//! serves them.
//!
//! | first byte | what it is |
//! |---|---|
//! | 22 | TLS (RFC 8446 §5.1); what is inside is looked at again |
//! | 0–3 | STUN framing (RFC 8489 §6.2.2): the relay |
//! | anything else | HTTP |
//!
//! STUN and TURN are served on every listener, plain and under TLS. HTTP under TLS is, too; plain
//! HTTP only on `--http`, since tokens would travel in the clear. A connection for the relay moves
//! to one of its workers, socket, TLS session and all, and is not touched here again.

pub mod acme;
mod bounded;
mod certificates;
mod chain;
mod connection;
mod listeners;
mod pair;
mod proxy_protocol;
mod shown;
mod standing;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use callbox_base::addresses::Networks;
use callbox_relay::NewStream;
use ipnet::IpNet;

pub use self::{
    certificates::{CertificateError, CertificateSource, Certificates},
    listeners::{Acceptor, Listener},
    shown::Shown,
    standing::Remark,
};
use crate::http;

/// What the server's listeners are, beyond those that the relay has bound.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where TLS is served; what else is there is up to the first bytes.
    pub tls_listen: Vec<SocketAddr>,
    /// Where the certificate is from; without one there is no TLS on any listener.
    pub certificate: Option<CertificateSource>,
    /// The proxies whose connections begin with a PROXY protocol header, and on which listeners.
    pub proxies: HeaderSenders,
}

/// The proxies whose connections begin with a PROXY protocol header, and on which listeners.
#[derive(Debug, Clone, Default)]
pub struct HeaderSenders {
    networks: Networks,
    roles: Vec<Role>,
}

impl HeaderSenders {
    /// Those in `networks`, on listeners of these roles; on every one if there are none.
    pub fn new(networks: Vec<IpNet>, roles: Vec<Role>) -> Self {
        Self { networks: Networks::new(networks), roles }
    }

    /// Returns true if a connection from `ip` to a listener of this role begins with a header.
    fn include(&self, ip: IpAddr, role: Role) -> bool {
        (self.roles.is_empty() || self.roles.contains(&role)) && self.networks.contains(ip)
    }
}

/// Which plain protocols a listener is for, besides STUN and TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `--http`: HTTP.
    Http,
    /// `--listen`: nothing else.
    Turn,
    /// `--tls-listen`: nothing else.
    Tls,
}

/// Takes connections that are for the relay.
pub type OnStream = Arc<dyn Fn(NewStream) + Send + Sync>;

/// What every connection needs.
#[derive(Clone)]
pub struct Wiring {
    /// Serves HTTP, and says how many connections there may be.
    pub http: http::Service,
    /// Serves STUN and TURN.
    pub on_stream: OnStream,
    /// The certificates, where TLS is served.
    pub certificates: Option<Arc<Certificates>>,
    /// The proxies whose connections begin with a PROXY protocol header, and on which listeners.
    pub proxies: Arc<HeaderSenders>,
}
