//! The STUN and TURN URIs that clients are told (RFC 7064, RFC 7065): only those that work.
//!
//! A browser that is told an address where nobody answers waits for it at each call, and `turns` of
//! a name that the certificate does not cover is refused. So a URI that the server has derived
//! itself is left out if it cannot be right, and the log says why; URIs of `--public-turn-uri` are
//! used without checks.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use callbox_relay::Reached;

use super::omitted_addresses::{OmittedAddresses, Reason};
use crate::{
    acceptor::ServerCertificate,
    config::{IceScheme, IceUri},
};

/// The addresses and URIs of the server, without the certificate, which changes.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    relay: Reached,
    tls: Vec<TlsListener>,
    configured: Vec<IceUri>,
}

/// The addresses at which clients reach one TLS listener.
#[derive(Debug, Clone)]
struct TlsListener {
    port: u16,
    told: Vec<IpAddr>,
}

/// The URIs, and those that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uris {
    pub stun: Vec<String>,
    /// The URIs for UDP, then for TCP.
    pub turn: Vec<String>,
    /// The URIs for TLS.
    pub turns: Vec<String>,
    /// The same with a self-signed certificate: clients are not told these.
    pub untrusted_turns: Vec<String>,
    /// The base URL of HTTP under TLS.
    pub https: Option<String>,
    pub left_out: OmittedAddresses,
}

impl Addresses {
    /// Determines the addresses of a relay on `relay` and of TLS on `tls`, which is served on the
    /// relay's listeners if it has none of its own. `reach` returns the addresses at which clients
    /// reach listeners.
    ///
    /// # Errors
    /// The error of `reach`.
    pub(super) fn new(
        relay: &[SocketAddr],
        tls: &[SocketAddr],
        configured: Vec<IceUri>,
        reach: impl Fn(&[SocketAddr]) -> io::Result<Reached>,
    ) -> io::Result<Self> {
        let relay = reach(relay)?;
        let of = |at: &SocketAddr| {
            let told = reach(&[*at])?.told;
            let told = told.iter().map(SocketAddr::ip).collect();
            Ok(TlsListener { port: at.port(), told })
        };
        let tls = match tls {
            [] => relay
                .told
                .iter()
                .map(|at| TlsListener { port: at.port(), told: vec![at.ip()] })
                .collect(),
            tls => tls.iter().map(of).collect::<io::Result<_>>()?,
        };
        Ok(Self { relay, tls, configured })
    }

    /// Returns the URIs while this certificate is shown, if one is.
    pub(super) fn uris(&self, shown: Option<&ServerCertificate>) -> Uris {
        let mut uris = Uris::default();
        self.add_plain(&mut uris, shown.is_some());
        if let Some(shown) = shown {
            self.add_tls(&mut uris, shown);
            if !shown.is_trusted() {
                uris.untrusted_turns = std::mem::take(&mut uris.turns);
                uris.left_out.tls.clear();
            }
        }
        let of = |scheme| self.configured.iter().filter(move |uri| uri.scheme == scheme);
        if of(IceScheme::Turn).next().is_some() {
            uris.turn = of(IceScheme::Turn).map(ToString::to_string).collect();
            // A TURN server over UDP answers STUN there, too (RFC 8656 §2).
            let udp = of(IceScheme::Turn).filter(|uri| uri.is_udp());
            uris.stun = udp.map(|uri| format!("stun:{}", uri.authority())).collect();
            uris.left_out.plain.clear();
        }
        if of(IceScheme::Stun).next().is_some() {
            uris.stun = of(IceScheme::Stun).map(ToString::to_string).collect();
        }
        if of(IceScheme::Turns).next().is_some() {
            uris.turns = of(IceScheme::Turns).map(ToString::to_string).collect();
            uris.left_out.tls.clear();
        }
        let Uris { stun, turn, turns, untrusted_turns, .. } = &mut uris;
        for list in [stun, turn, turns, untrusted_turns] {
            drop_repeated(list);
        }
        uris
    }

    /// Returns the warnings about these URIs, for the operator.
    pub(super) fn warnings(&self, uris: &Uris, shown: Option<&ServerCertificate>) -> Vec<String> {
        let left_out = Some(uris.left_out.to_string()).filter(|text| !text.is_empty());
        left_out.into_iter().chain(self.not_covered(shown)).collect()
    }

    /// Returns a warning if the certificate does not cover the host of a configured `turns` URI:
    /// another program in front of the server must terminate TLS there.
    fn not_covered(&self, shown: Option<&ServerCertificate>) -> Option<String> {
        let shown = shown.filter(|shown| shown.is_trusted())?;
        let turns = self.configured.iter().filter(|uri| uri.scheme == IceScheme::Turns);
        let uncovered: Vec<_> =
            turns.filter(|uri| !shown.covers(&uri.host)).map(ToString::to_string).collect();
        (!uncovered.is_empty()).then(|| {
            format!(
                "--public-turn-uri {}: the certificate is for {}, and browsers refuse it there unless \
                 something in front of this server ends TLS with another one",
                uncovered.join(", "),
                shown.describe()
            )
        })
    }

    fn add_plain(&self, uris: &mut Uris, has_tls: bool) {
        let only_here = |at: &SocketAddr| at.ip().is_loopback() && self.is_open(has_tls);
        let (loopback, told): (Vec<SocketAddr>, Vec<_>) =
            self.relay.told.iter().partition(|at| only_here(at));
        let over = |transport: &str| {
            let uri = |at: &SocketAddr| format!("turn:{at}?transport={transport}");
            told.iter().map(uri).collect::<Vec<_>>()
        };
        uris.stun = told.iter().map(|at| format!("stun:{at}")).collect();
        uris.turn = [over("udp"), over("tcp")].concat();
        let left_out = &mut uris.left_out.plain;
        left_out.extend(loopback.iter().map(|at| (at.to_string(), Reason::Loopback)));
        left_out.extend(self.relay.private.iter().map(|at| (at.to_string(), Reason::Private)));
    }

    fn add_tls(&self, uris: &mut Uris, shown: &ServerCertificate) {
        let is_open = self.is_open(true);
        for listener in &self.tls {
            let TlsListener { port, told } = listener;
            let of_ip = |ip: &IpAddr| SocketAddr::new(*ip, *port).to_string();
            let by_ip = || told.iter().filter(|ip| shown.covers(&ip.to_string())).map(of_ip);
            let is_loopback = !told.is_empty() && told.iter().all(IpAddr::is_loopback);
            let host = shown.host().filter(|_| !is_loopback);
            let mut authorities = match host {
                Some(host) => vec![format!("{host}:{port}")],
                None => by_ip().collect(),
            };
            if is_loopback && authorities.is_empty() && shown.covers("localhost") {
                authorities.push(format!("localhost:{port}"));
            }
            let left_out = match () {
                () if is_loopback && is_open => Some(Reason::Loopback),
                () if authorities.is_empty() => Some(Reason::NotInCertificate(shown.describe())),
                () => None,
            };
            // There is an address for HTTPS even if the certificate does not cover it: people and
            // tests use it.
            let https = authorities.first().cloned().or_else(|| told.first().map(of_ip));
            uris.https = uris.https.take().or(https.map(|at| format!("https://{at}")));
            match left_out {
                Some(reason) => {
                    let authority = told.first().map_or_else(|| format!("port {port}"), of_ip);
                    uris.left_out.tls.push((authority, reason));
                }
                None => uris
                    .turns
                    .extend(authorities.iter().map(|at| format!("turns:{at}?transport=tcp"))),
            }
        }
    }

    /// Returns true if a listener can be reached from other machines.
    fn is_open(&self, has_tls: bool) -> bool {
        let tls = self.tls.iter().filter(|_| has_tls).flat_map(|listener| &listener.told);
        let mut ips = self.relay.told.iter().map(SocketAddr::ip).chain(tls.copied());
        ips.any(|ip| !ip.is_loopback())
    }
}

impl Uris {
    /// Returns every TURN URI that clients are told.
    pub(super) fn told_turn(&self) -> Vec<String> {
        [&self.turn[..], &self.turns].concat()
    }
}

fn drop_repeated(uris: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    uris.retain(|uri| seen.insert(uri.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The addresses of each listener are used as they are.
    fn addresses(relay: &[&str], tls: &[&str], configured: &[&str]) -> Addresses {
        let reach = |at: &[SocketAddr]| Ok(Reached { told: at.to_vec(), private: Vec::new() });
        Addresses::new(&parse(relay), &parse(tls), parse(configured), reach).unwrap()
    }

    const PUBLIC: [&str; 2] = ["192.0.2.1:3478", "[2001:db8::1]:3478"];

    fn turns(tls: &[&str], names: &[&str]) -> (Vec<String>, String) {
        let uris = addresses(&PUBLIC, tls, &[]).uris(Some(&ServerCertificate::made(names)));
        assert!(uris.https.is_some());
        (uris.turns, uris.left_out.to_string())
    }

    #[test]
    fn every_transport_has_a_uri() {
        let plain = addresses(&PUBLIC, &[], &[]).uris(None);
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
        assert!(plain.left_out.is_empty());
    }

    #[test]
    fn a_turns_uri_has_a_name_or_an_address_of_the_certificate() {
        let named = ["turns:turn.example.com:443?transport=tcp"];
        let public = ["192.0.2.1:443", "[2001:db8::1]:443"];
        assert_eq!(
            turns(&public, &["turn.example.com"]),
            (named.map(Into::into).into(), "".into())
        );
        let second = turns(&public, &["*.example.com", "localhost", "turn.example.com"]);
        assert_eq!(second.0, named);
        let (by_ip, left_out) = turns(&public, &["192.0.2.1"]);
        assert_eq!(by_ip, ["turns:192.0.2.1:443?transport=tcp"]);
        assert!(
            left_out.contains("[2001:db8::1]:443 (TLS; the certificate is for no DNS name"),
            "{left_out}"
        );
        let (none, left_out) = turns(&public[..1], &["*.example.com"]);
        assert_eq!(none, [""; 0]);
        assert!(
            left_out.contains("192.0.2.1:443 (TLS; the certificate is for *.example.com"),
            "{left_out}"
        );
        assert!(left_out.contains("--public-turn-uri turns:"), "{left_out}");
        let shared = addresses(&PUBLIC, &[], &[])
            .uris(Some(&ServerCertificate::made(&["turn.example.com"])));
        assert_eq!(shared.turns, ["turns:turn.example.com:3478?transport=tcp"]);
    }

    #[test]
    fn loopback_is_used_only_if_there_is_nothing_else() {
        let (none, left_out) = turns(&["127.0.0.1:8443"], &["turn.example.com", "127.0.0.1"]);
        assert_eq!(none, [""; 0]);
        assert!(left_out.contains("127.0.0.1:8443 (TLS; a loopback address)"), "{left_out}");
        for (names, told) in [
            (&["a.example", "127.0.0.1"][..], "turns:127.0.0.1:443?transport=tcp"),
            (&["localhost"], "turns:localhost:443?transport=tcp"),
        ] {
            let here = addresses(&["127.0.0.1:3478"], &["127.0.0.1:443"], &[]);
            let uris = here.uris(Some(&ServerCertificate::made(names)));
            assert_eq!(uris.turns, [told]);
            assert_eq!(uris.stun, ["stun:127.0.0.1:3478"]);
            assert!(uris.left_out.is_empty());
        }
        let open = addresses(&["127.0.0.1:3478"], &["192.0.2.1:443"], &[]);
        let uris = open.uris(Some(&ServerCertificate::made(&["a.example"])));
        assert_eq!((uris.stun, uris.turn), (vec![], vec![]));
        assert_eq!(uris.turns, ["turns:a.example:443?transport=tcp"]);
        assert!(uris.left_out.to_string().contains("127.0.0.1:3478 (a loopback address)"));
    }

    #[test]
    fn configured_uris_replace_those_of_their_scheme() {
        let shown = ServerCertificate::made(&["*.example.com"]);
        let turns = "turns:turn.example.com:443";
        let some = addresses(&PUBLIC[..1], &["192.0.2.1:8443"], &[turns]);
        let uris = some.uris(Some(&shown));
        assert_eq!(uris.turns, [turns]);
        assert_eq!(uris.stun, ["stun:192.0.2.1:3478"]);
        assert!(uris.left_out.is_empty());
        let mapped =
            ["turn:a.example:13478", "turn:a.example:80?transport=tcp", "turns:b.test:443", turns];
        let all = addresses(&["10.0.0.5:3478"], &[], &mapped);
        let uris = all.uris(Some(&shown));
        assert_eq!(uris.told_turn(), mapped);
        assert_eq!(uris.stun, ["stun:a.example:13478"]);
        let no_tls = all.uris(None);
        assert_eq!(no_tls.turns, mapped[2..]);
        let stun = addresses(&["10.0.0.5:3478"], &[], &["stun:c.example:3478"]).uris(None);
        assert_eq!(stun.stun, ["stun:c.example:3478"]);
        assert_eq!(stun.turn.len(), 2);
    }
}
