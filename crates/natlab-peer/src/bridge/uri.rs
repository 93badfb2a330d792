//! TURN URIs (RFC 7065), with addresses in place of names.

use std::{net::SocketAddr, str::FromStr};

use anyhow::{Context, bail};

use crate::outcome::Transport;

/// A TURN server and the transport to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TurnUri {
    address: SocketAddr,
    transport: Transport,
}

impl TurnUri {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }
}

impl FromStr for TurnUri {
    type Err = anyhow::Error;

    fn from_str(uri: &str) -> anyhow::Result<Self> {
        let expected = || {
            format!("`{uri}` is no TURN URI with an address, as turn:192.0.2.1:3478?transport=udp")
        };
        let (scheme, rest) = uri.split_once(':').with_context(expected)?;
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (transport, port) = match (scheme, query) {
            ("turn", "" | "transport=udp") => (Transport::Udp, 3478),
            ("turn", "transport=tcp") => (Transport::Tcp, 3478),
            ("turns", "" | "transport=tcp") => (Transport::Tls, 5349),
            _ => bail!(expected()),
        };
        let with_port = || format!("{authority}:{port}").parse();
        let address = authority.parse().or_else(|_| with_port()).with_context(expected)?;
        Ok(Self { address, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_is_that_of_scheme_and_query() {
        for (uri, address, transport) in [
            ("turn:192.0.2.1:99", "192.0.2.1:99", Transport::Udp),
            ("turn:192.0.2.1?transport=udp", "192.0.2.1:3478", Transport::Udp),
            ("turn:[2001:db8::1]?transport=tcp", "[2001:db8::1]:3478", Transport::Tcp),
            ("turns:192.0.2.1", "192.0.2.1:5349", Transport::Tls),
            ("turns:192.0.2.1:443?transport=tcp", "192.0.2.1:443", Transport::Tls),
        ] {
            let expected = TurnUri { address: address.parse().unwrap(), transport };
            assert_eq!(uri.parse::<TurnUri>().unwrap(), expected, "{uri}");
        }
        for uri in ["", "stun:192.0.2.1", "turn:example.com", "turns:192.0.2.1?transport=udp"] {
            let error = uri.parse::<TurnUri>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{uri}` is no TURN URI")), "{error}");
        }
    }
}
