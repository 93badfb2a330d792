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

use callbox_relay::ListenerAddresses;

use super::omitted_addresses::{OmittedAddresses, Reason};
use crate::{
    acceptor::ServerCertificate,
    config::{IceScheme, IceUri},
};

/// The addresses and URIs of the server, without the certificate, which changes.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    relay: ListenerAddresses,
    tls: Vec<TlsListener>,
    configured: Vec<IceUri>,
}

/// The addresses at which clients reach one TLS listener.
#[derive(Debug, Clone)]
struct TlsListener {
    port: u16,
    ips: Vec<IpAddr>,
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
    pub omitted: OmittedAddresses,
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
        reach: impl Fn(&[SocketAddr]) -> io::Result<ListenerAddresses>,
    ) -> io::Result<Self> {
        let relay = reach(relay)?;
        let of = |at: &SocketAddr| {
            let ips = reach(&[*at])?.advertised;
            let ips = ips.iter().map(SocketAddr::ip).collect();
            Ok(TlsListener { port: at.port(), ips })
        };
        let tls = match tls {
            [] => relay
                .advertised
                .iter()
                .map(|at| TlsListener { port: at.port(), ips: vec![at.ip()] })
                .collect(),
            tls => tls.iter().map(of).collect::<io::Result<_>>()?,
        };
        Ok(Self { relay, tls, configured })
    }

    /// Returns the URIs while this certificate is shown, if one is.
    pub(super) fn uris(&self, certificate: Option<&ServerCertificate>) -> Uris {
        let mut uris = Uris::default();
        self.add_plain(&mut uris, certificate.is_some());
        if let Some(certificate) = certificate {
            self.add_tls(&mut uris, certificate);
            if !certificate.is_trusted() {
                uris.untrusted_turns = std::mem::take(&mut uris.turns);
                uris.omitted.tls.clear();
            }
        }
        let of = |scheme| self.configured.iter().filter(move |uri| uri.scheme == scheme);
        if of(IceScheme::Turn).next().is_some() {
            uris.turn = of(IceScheme::Turn).map(ToString::to_string).collect();
            // A TURN server over UDP answers STUN there, too (RFC 8656 §2).
            let udp = of(IceScheme::Turn).filter(|uri| uri.is_udp());
            uris.stun = udp.map(|uri| format!("stun:{}", uri.authority())).collect();
            uris.omitted.plain.clear();
        }
        if of(IceScheme::Stun).next().is_some() {
            uris.stun = of(IceScheme::Stun).map(ToString::to_string).collect();
        }
        if of(IceScheme::Turns).next().is_some() {
            uris.turns = of(IceScheme::Turns).map(ToString::to_string).collect();
            uris.omitted.tls.clear();
        }
        let Uris { stun, turn, turns, untrusted_turns, .. } = &mut uris;
        for list in [stun, turn, turns, untrusted_turns] {
            drop_repeated(list);
        }
        uris
    }

    /// Returns the warnings about these URIs, for the operator.
    pub(super) fn warnings(
        &self,
        uris: &Uris,
        certificate: Option<&ServerCertificate>,
    ) -> Vec<String> {
        let omitted = Some(uris.omitted.to_string()).filter(|text| !text.is_empty());
        omitted.into_iter().chain(self.not_covered(certificate)).collect()
    }

    /// Returns a warning if the certificate does not cover the host of a configured `turns` URI:
    /// another program in front of the server must terminate TLS there.
    fn not_covered(&self, certificate: Option<&ServerCertificate>) -> Option<String> {
        let certificate = certificate.filter(|certificate| certificate.is_trusted())?;
        let turns = self.configured.iter().filter(|uri| uri.scheme == IceScheme::Turns);
        let uncovered: Vec<_> =
            turns.filter(|uri| !certificate.covers(&uri.host)).map(ToString::to_string).collect();
        (!uncovered.is_empty()).then(|| {
            format!(
                "--public-turn-uri {}: the certificate is for {}, and browsers refuse it there unless \
                 something in front of this server ends TLS with another one",
                uncovered.join(", "),
                certificate.describe()
            )
        })
    }

    fn add_plain(&self, uris: &mut Uris, has_tls: bool) {
        let only_here = |at: &SocketAddr| at.ip().is_loopback() && self.is_open(has_tls);
        let (loopback, advertised): (Vec<SocketAddr>, Vec<_>) =
            self.relay.advertised.iter().partition(|at| only_here(at));
        let over = |transport: &str| {
            let uri = |at: &SocketAddr| format!("turn:{at}?transport={transport}");
            advertised.iter().map(uri).collect::<Vec<_>>()
        };
        uris.stun = advertised.iter().map(|at| format!("stun:{at}")).collect();
        uris.turn = [over("udp"), over("tcp")].concat();
        let omitted = &mut uris.omitted.plain;
        omitted.extend(loopback.iter().map(|at| (at.to_string(), Reason::Loopback)));
        omitted.extend(self.relay.private.iter().map(|at| (at.to_string(), Reason::Private)));
    }

    fn add_tls(&self, uris: &mut Uris, certificate: &ServerCertificate) {
        let is_open = self.is_open(true);
        for listener in &self.tls {
            let TlsListener { port, ips } = listener;
            let of_ip = |ip: &IpAddr| SocketAddr::new(*ip, *port).to_string();
            let by_ip = || ips.iter().filter(|ip| certificate.covers(&ip.to_string())).map(of_ip);
            let is_loopback = !ips.is_empty() && ips.iter().all(IpAddr::is_loopback);
            let host = certificate.host().filter(|_| !is_loopback);
            let mut authorities = match host {
                Some(host) => vec![format!("{host}:{port}")],
                None => by_ip().collect(),
            };
            if is_loopback && authorities.is_empty() && certificate.covers("localhost") {
                authorities.push(format!("localhost:{port}"));
            }
            let omitted = match () {
                () if is_loopback && is_open => Some(Reason::Loopback),
                () if authorities.is_empty() => {
                    Some(Reason::NotInCertificate(certificate.describe()))
                }
                () => None,
            };
            // There is an address for HTTPS even if the certificate does not cover it: people and
            // tests use it.
            let https = authorities.first().cloned().or_else(|| ips.first().map(of_ip));
            uris.https = uris.https.take().or(https.map(|at| format!("https://{at}")));
            match omitted {
                Some(reason) => {
                    let authority = ips.first().map_or_else(|| format!("port {port}"), of_ip);
                    uris.omitted.tls.push((authority, reason));
                }
                None => uris
                    .turns
                    .extend(authorities.iter().map(|at| format!("turns:{at}?transport=tcp"))),
            }
        }
    }

    /// Returns true if a listener can be reached from other machines.
    fn is_open(&self, has_tls: bool) -> bool {
        let tls = self.tls.iter().filter(|_| has_tls).flat_map(|listener| &listener.ips);
        let mut ips = self.relay.advertised.iter().map(SocketAddr::ip).chain(tls.copied());
        ips.any(|ip| !ip.is_loopback())
    }
}

impl Uris {
    /// Returns every TURN URI that clients are told.
    pub(super) fn advertised_turn(&self) -> Vec<String> {
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
        let reach = |at: &[SocketAddr]| {
            Ok(ListenerAddresses { advertised: at.to_vec(), private: Vec::new() })
        };
        Addresses::new(&parse(relay), &parse(tls), parse(configured), reach).unwrap()
    }

    const PUBLIC: [&str; 2] = ["192.0.2.1:3478", "[2001:db8::1]:3478"];

    fn turns(tls: &[&str], names: &[&str]) -> (Vec<String>, String) {
        let uris = addresses(&PUBLIC, tls, &[]).uris(Some(&ServerCertificate::made(names)));
        assert!(uris.https.is_some());
        (uris.turns, uris.omitted.to_string())
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
        assert!(plain.omitted.is_empty());
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
        let (by_ip, omitted) = turns(&public, &["192.0.2.1"]);
        assert_eq!(by_ip, ["turns:192.0.2.1:443?transport=tcp"]);
        assert!(
            omitted.contains("[2001:db8::1]:443 (TLS; the certificate is for no DNS name"),
            "{omitted}"
        );
        let (none, omitted) = turns(&public[..1], &["*.example.com"]);
        assert_eq!(none, [""; 0]);
        assert!(
            omitted.contains("192.0.2.1:443 (TLS; the certificate is for *.example.com"),
            "{omitted}"
        );
        assert!(omitted.contains("--public-turn-uri turns:"), "{omitted}");
        let shared = addresses(&PUBLIC, &[], &[])
            .uris(Some(&ServerCertificate::made(&["turn.example.com"])));
        assert_eq!(shared.turns, ["turns:turn.example.com:3478?transport=tcp"]);
    }

    #[test]
    fn loopback_is_used_only_if_there_is_nothing_else() {
        let (none, omitted) = turns(&["127.0.0.1:8443"], &["turn.example.com", "127.0.0.1"]);
        assert_eq!(none, [""; 0]);
        assert!(omitted.contains("127.0.0.1:8443 (TLS; a loopback address)"), "{omitted}");
        for (names, expected) in [
            (&["a.example", "127.0.0.1"][..], "turns:127.0.0.1:443?transport=tcp"),
            (&["localhost"], "turns:localhost:443?transport=tcp"),
        ] {
            let here = addresses(&["127.0.0.1:3478"], &["127.0.0.1:443"], &[]);
            let uris = here.uris(Some(&ServerCertificate::made(names)));
            assert_eq!(uris.turns, [expected]);
            assert_eq!(uris.stun, ["stun:127.0.0.1:3478"]);
            assert!(uris.omitted.is_empty());
        }
        let open = addresses(&["127.0.0.1:3478"], &["192.0.2.1:443"], &[]);
        let uris = open.uris(Some(&ServerCertificate::made(&["a.example"])));
        assert_eq!((uris.stun, uris.turn), (vec![], vec![]));
        assert_eq!(uris.turns, ["turns:a.example:443?transport=tcp"]);
        assert!(uris.omitted.to_string().contains("127.0.0.1:3478 (a loopback address)"));
    }

    #[test]
    fn configured_uris_replace_those_of_their_scheme() {
        let certificate = ServerCertificate::made(&["*.example.com"]);
        let turns = "turns:turn.example.com:443";
        let some = addresses(&PUBLIC[..1], &["192.0.2.1:8443"], &[turns]);
        let uris = some.uris(Some(&certificate));
        assert_eq!(uris.turns, [turns]);
        assert_eq!(uris.stun, ["stun:192.0.2.1:3478"]);
        assert!(uris.omitted.is_empty());
        let mapped =
            ["turn:a.example:13478", "turn:a.example:80?transport=tcp", "turns:b.test:443", turns];
        let all = addresses(&["10.0.0.5:3478"], &[], &mapped);
        let uris = all.uris(Some(&certificate));
        assert_eq!(uris.advertised_turn(), mapped);
        assert_eq!(uris.stun, ["stun:a.example:13478"]);
        let no_tls = all.uris(None);
        assert_eq!(no_tls.turns, mapped[2..]);
        let stun = addresses(&["10.0.0.5:3478"], &[], &["stun:c.example:3478"]).uris(None);
        assert_eq!(stun.stun, ["stun:c.example:3478"]);
        assert_eq!(stun.turn.len(), 2);
    }
}
