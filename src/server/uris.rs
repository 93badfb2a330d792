//! By which URIs clients are told to come (RFC 7064, RFC 7065).

use std::net::{IpAddr, SocketAddr};

/// Everything that works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uris {
    pub stun: Vec<String>,
    /// Over UDP, then over TCP.
    pub turn: Vec<String>,
    /// Over TLS.
    pub turns: Vec<String>,
    /// The base of HTTP under TLS.
    pub https: Option<String>,
}

/// Where TLS is served.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    /// The listeners, with real ports.
    pub listeners: Vec<SocketAddr>,
    /// The name that the certificate is for, if it has one.
    pub name: Option<String>,
}

impl Uris {
    /// For a relay that clients reach at `public`.
    pub fn new(public: &[SocketAddr], tls: Option<&Tls>) -> Self {
        let over = |transport: &str| {
            let uri = |at: &SocketAddr| format!("turn:{at}?transport={transport}");
            public.iter().map(uri).collect::<Vec<_>>()
        };
        let places = tls.map(|tls| tls.places(public)).unwrap_or_default();
        Self {
            stun: public.iter().map(|at| format!("stun:{at}")).collect(),
            turn: [over("udp"), over("tcp")].concat(),
            turns: places.iter().map(|at| format!("turns:{at}?transport=tcp")).collect(),
            https: places.first().map(|at| format!("https://{at}")),
        }
    }

    /// Every TURN URI.
    pub fn all_turn(&self) -> Vec<String> {
        [&self.turn[..], &self.turns].concat()
    }
}

impl Tls {
    /// The `host:port`s of TLS. Without listeners of its own it is served where TCP is.
    fn places(&self, public: &[SocketAddr]) -> Vec<String> {
        let listeners = if self.listeners.is_empty() { public } else { &self.listeners };
        let mut places = Vec::new();
        for listener in listeners {
            let port = listener.port();
            let of_ip = |ip: IpAddr| SocketAddr::new(ip, port).to_string();
            let here = match &self.name {
                // Nobody but this machine comes there, by whatever name.
                _ if listener.ip().is_loopback() => vec![of_ip(listener.ip())],
                Some(name) => vec![format!("{name}:{port}")],
                None if listener.ip().is_unspecified() => {
                    let family = |at: &&SocketAddr| at.is_ipv4() == listener.is_ipv4();
                    public.iter().filter(family).map(|at| of_ip(at.ip())).collect()
                }
                None => vec![of_ip(listener.ip())],
            };
            places.extend(here);
        }
        let mut seen = std::collections::HashSet::new();
        places.retain(|place| seen.insert(place.clone()));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_way_has_a_uri() {
        let public = addresses(&["192.0.2.1:3478", "[2001:db8::1]:3478"]);
        let plain = Uris::new(&public, None);
        assert_eq!(plain.stun, ["stun:192.0.2.1:3478", "stun:[2001:db8::1]:3478"]);
        assert_eq!(
            plain.turn,
            [
                "turn:192.0.2.1:3478?transport=udp",
                "turn:[2001:db8::1]:3478?transport=udp",
                "turn:192.0.2.1:3478?transport=tcp",
                "turn:[2001:db8::1]:3478?transport=tcp",
            ]
        );
        assert_eq!((plain.turns, plain.https), (vec![], None));
    }

    #[test]
    fn tls_goes_by_the_certificate_s_name() {
        let public = addresses(&["192.0.2.1:3478", "[2001:db8::1]:3478"]);
        let places = |listeners: &[&str], name: Option<&str>| {
            let tls = Tls { listeners: addresses(listeners), name: name.map(Into::into) };
            let uris = Uris::new(&public, Some(&tls));
            assert_eq!(uris.https.is_some(), !uris.turns.is_empty());
            uris.turns
        };
        let named = places(&["0.0.0.0:443", "[::]:443"], Some("turn.example.com"));
        assert_eq!(named, ["turns:turn.example.com:443?transport=tcp"]);
        let unnamed = places(&["0.0.0.0:443"], None);
        assert_eq!(unnamed, ["turns:192.0.2.1:443?transport=tcp"]);
        let here = places(&["127.0.0.1:443"], Some("turn.example.com"));
        assert_eq!(here, ["turns:127.0.0.1:443?transport=tcp"]);
        let shared = places(&[], Some("turn.example.com"));
        assert_eq!(shared, ["turns:turn.example.com:3478?transport=tcp"]);
    }
}
