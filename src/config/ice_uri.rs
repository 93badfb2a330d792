//! URIs of STUN and TURN (RFC 7064, RFC 7065), in an operator's spelling.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use callbox_base::text::trimmed;
use rustls::pki_types::ServerName;

/// The scheme of a URI, which selects STUN or TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceScheme {
    /// `stun`: over UDP.
    Stun,
    /// `turn`: over UDP or TCP.
    Turn,
    /// `turns`: over TLS.
    Turns,
}

/// The transport protocol under STUN and TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceTransport {
    /// `udp`
    Udp,
    /// `tcp`
    Tcp,
}

/// A URI that clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceUri {
    /// The scheme.
    pub scheme: IceScheme,
    /// A name or an address; an IPv6 one without its brackets.
    pub host: String,
    /// The port, if it is not the default one.
    pub port: Option<u16>,
    /// The transport protocol, if the URI names one.
    pub transport: Option<IceTransport>,
}

impl IceUri {
    /// Returns `host:port`, or the host if there is no port.
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    /// Returns true if a client uses the URI over UDP, which is the default (RFC 7065 §3.1).
    pub fn is_udp(&self) -> bool {
        self.scheme != IceScheme::Turns && self.transport != Some(IceTransport::Tcp)
    }
}

impl FromStr for IceUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a URI such as stun:turn.example.com:3478, \
                                turn:turn.example.com:3478?transport=udp or \
                                turns:turn.example.com:443?transport=tcp";
        let expected = || EXPECTED.to_owned();
        let (scheme, rest) = trimmed(text).split_once(':').ok_or_else(expected)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "stun" => IceScheme::Stun,
            "turn" => IceScheme::Turn,
            "turns" => IceScheme::Turns,
            _ => return Err(expected()),
        };
        if rest.starts_with("//") {
            return Err(format!("{EXPECTED}, without slashes"));
        }
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        let transport = match (query, scheme) {
            (None, _) => None,
            (Some("transport=udp"), IceScheme::Turn) => Some(IceTransport::Udp),
            (Some("transport=tcp"), IceScheme::Turn | IceScheme::Turns) => Some(IceTransport::Tcp),
            (Some("transport=udp"), IceScheme::Turns) => {
                return Err("turns over UDP is DTLS, which is not served; leave ?transport=udp \
                            out, or say turn"
                    .to_owned());
            }
            _ => return Err(expected()),
        };
        let (host, port) = split_port(authority).ok_or_else(expected)?;
        if ServerName::try_from(host.as_str()).is_err() || host.ends_with('.') {
            return Err(expected());
        }
        Ok(Self { scheme, host, port, transport })
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port` into host and port.
fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let read_port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if let Some(rest) = authority.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        let ip: Ipv6Addr = ip.parse().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(read_port(port)?),
            None => rest.is_empty().then_some(None)?,
        };
        return Some((ip.to_string(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(read_port(port)?)),
        None => (authority, None),
    };
    Some((host.to_ascii_lowercase(), port))
}

impl fmt::Display for IceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            IceScheme::Stun => "stun",
            IceScheme::Turn => "turn",
            IceScheme::Turns => "turns",
        };
        let transport = match self.transport {
            Some(IceTransport::Udp) => "?transport=udp",
            Some(IceTransport::Tcp) => "?transport=tcp",
            None => "",
        };
        write!(f, "{scheme}:{}{transport}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_parsed_and_formatted_alike() {
        for (text, expected) in [
            ("stun:192.0.2.1", "stun:192.0.2.1"),
            ("turn:turn.example.com", "turn:turn.example.com"),
            (
                "TURN:Turn.Example.com:3478?transport=udp",
                "turn:turn.example.com:3478?transport=udp",
            ),
            (" turn:[2001:db8:0::1]:80?transport=tcp\r\n", "turn:[2001:db8::1]:80?transport=tcp"),
            ("turns:[2001:db8::1]", "turns:[2001:db8::1]"),
            (
                "turns:turn.example.com:443?transport=tcp",
                "turns:turn.example.com:443?transport=tcp",
            ),
        ] {
            assert_eq!(text.parse().map(|uri: IceUri| uri.to_string()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn uris_that_no_client_accepts_are_refused() {
        for bad in [
            "",
            "turn",
            "turn:",
            "turn.example.com:3478",
            "https:turn.example.com",
            "stuns:turn.example.com",
            "turn://turn.example.com",
            "turn:turn.example.com:0",
            "turn:turn.example.com:65536",
            "turn:turn.example.com:",
            "turn:2001:db8::1",
            "turn:[2001:db8::1]3478",
            "turn:[192.0.2.1]",
            "turn:alice@turn.example.com",
            "turn:a b",
            "turn:turn.example.com?transport=sctp",
            "stun:turn.example.com?transport=udp",
            "turns:turn.example.com?transport=udp",
            "turns:*.example.com:443",
        ] {
            assert!(bad.parse::<IceUri>().is_err(), "{bad}");
        }
    }
}
