//! The address of a STUN or TURN server, and the credentials for it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use callbox_client::Login;
use serde_json::Value;

use super::{answers::text, stream, tls::Tls};

/// A STUN or TURN server.
pub(super) struct Server {
    address: SocketAddr,
    transport: Transport,
}

/// The transport between the client and the server.
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls(Tls),
}

impl Server {
    /// Reads a URI of STUN or TURN (RFC 7064, RFC 7065). `ca_cert` is for `turns`.
    pub(crate) async fn resolve(uri: &str, ca_cert: Option<&Path>) -> anyhow::Result<Self> {
        let (scheme, rest) = uri.split_once(':').unwrap_or_default();
        let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
        // RFC 7064 §3.2 and RFC 7065 §3.1: the ports where a URI says none.
        let usual = if scheme == "turns" { 5349 } else { 3478 };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:{usual}") };
        let transport = match (scheme, query) {
            ("stun" | "turn", "" | "transport=udp") => Transport::Udp,
            ("turn", "transport=tcp") => Transport::Tcp,
            ("turns", "" | "transport=tcp") => Transport::Tls(Tls::new(&authority, ca_cert)?),
            _ => bail!("{uri} is neither for UDP nor for TCP or TLS"),
        };
        let found = stream::resolve(&authority).await.with_context(|| uri.to_owned())?;
        Ok(Self { address: found[0], transport })
    }

    /// Returns its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its transport.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Returns its name in a report.
    pub(crate) fn name(&self) -> String {
        match self.transport {
            Transport::Udp => self.address.to_string(),
            Transport::Tcp => format!("{}/tcp", self.address),
            Transport::Tls(_) => format!("{}/tls", self.address),
        }
    }

    /// Returns the name that its certificate must be for, if it is reached over TLS.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match &self.transport {
            Transport::Tls(tls) => Some(tls),
            Transport::Udp | Transport::Tcp => None,
        }
    }

    /// Returns true if this machine has a route to it.
    pub(crate) fn is_reachable(&self) -> bool {
        let socket = std::net::UdpSocket::bind(self.unspecified());
        socket.and_then(|socket| socket.connect(self.address)).is_ok()
    }

    /// Returns no address and no port, of the server's family.
    pub(crate) fn unspecified(&self) -> SocketAddr {
        match self.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        }
    }
}

/// Reads `turnCredentials`.
pub(super) fn read_credentials(value: &Value) -> anyhow::Result<Login> {
    ensure!(value.is_object(), "the server gives no turnCredentials");
    Ok(Login::new(text(value, "username")?, text(value, "password")?))
}
