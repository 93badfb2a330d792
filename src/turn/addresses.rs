//! Which relayed addresses there can be, what they are called outside a 1:1 NAT, and which
//! addresses are the server's own.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use super::{
    Config, ExternalIp, allocation::Transport, peer_policy::Verdict, reach::Reach, relayed::Relayed,
};
use crate::{
    ids::{PeerAddr, RelayedAddr},
    stun::{ErrorCode, Family},
};

/// An address on which relayed addresses are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayIp(pub IpAddr);

impl RelayIp {
    fn family(self) -> Family {
        if self.0.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// The server's own addresses.
#[derive(Debug, Clone)]
pub struct RelayAddresses {
    /// What the relay listens on, with real ports.
    listeners: Vec<SocketAddr>,
    /// What the process listens on besides, over TCP.
    tcp_listeners: Vec<SocketAddr>,
    /// Where relayed addresses are opened, the preferred ones first.
    relay: Vec<RelayIp>,
    external: Vec<ExternalIp>,
    ports: RangeInclusive<u16>,
}

impl RelayAddresses {
    /// Works out the addresses from the settings and what the listeners were bound to.
    pub fn new(config: &Config, listeners: Vec<SocketAddr>) -> Self {
        let fixed = !config.relay_ips.is_empty();
        let mut relay: Vec<RelayIp> = if fixed {
            config.relay_ips.iter().copied().map(RelayIp).collect()
        } else {
            listeners.iter().map(|listener| RelayIp(listener.ip())).collect()
        };
        // Where the world can come, nobody needs a relayed address that only this machine reaches.
        if !fixed && relay.iter().any(|ip| !ip.0.is_loopback()) {
            relay.retain(|ip| !ip.0.is_loopback());
        }
        let mut seen = std::collections::HashSet::new();
        relay.retain(|ip| seen.insert(*ip));
        let tcp_listeners = config.tcp_listeners.clone();
        let (external, ports) = (config.external_ips.clone(), config.relay_ports.clone());
        Self { listeners, tcp_listeners, relay, external, ports }
    }

    /// The address of a listener, by its place in the list.
    pub(super) fn listener(&self, at: u16) -> SocketAddr {
        self.listeners[usize::from(at)]
    }

    /// Every address on which relayed addresses may be opened.
    pub fn relay_ips(&self) -> &[RelayIp] {
        &self.relay
    }

    /// The address for a relayed address of `family`, for a client that talks to our address
    /// `local`; that address itself where nothing else is set. `None` if there is none of the family.
    pub fn choose(&self, family: Family, local: IpAddr) -> Option<RelayIp> {
        let own = RelayIp(local);
        if own.family() == family && self.relay.contains(&own) {
            return Some(own);
        }
        self.relay.iter().find(|ip| ip.family() == family).copied()
    }

    /// What the world calls one of our own addresses.
    pub fn advertise(&self, own: SocketAddr) -> RelayedAddr {
        RelayedAddr(SocketAddr::new(self.external(own.ip()).unwrap_or(own.ip()), own.port()))
    }

    fn external(&self, own: IpAddr) -> Option<IpAddr> {
        let exact = self.external.iter().find(|e| e.private == Some(own));
        let family = || {
            let fits = |e: &&ExternalIp| e.private.is_none() && e.public.is_ipv4() == own.is_ipv4();
            self.external.iter().filter(|_| !own.is_loopback()).find(fits)
        };
        exact.or_else(family).map(|e| e.public)
    }

    /// Where to send what is meant for `peer`: a NAT in front of us may not lead back in, so the
    /// public form of one of our own addresses is turned into its private one.
    #[inline]
    pub fn to_wire(&self, peer: PeerAddr) -> SocketAddr {
        if self.external.is_empty() {
            return peer.0;
        }
        let own = |e: &&ExternalIp| e.public == peer.0.ip();
        let private = self.external.iter().find(own).and_then(|e| {
            e.private.or_else(|| {
                let family = |ip: &&RelayIp| ip.0.is_ipv4() == e.public.is_ipv4();
                self.relay.iter().filter(|ip| !ip.0.is_loopback()).find(family).map(|ip| ip.0)
            })
        });
        SocketAddr::new(private.unwrap_or(peer.0.ip()), peer.0.port())
    }

    /// The reverse of [`RelayAddresses::to_wire`]: what to call the source of a datagram.
    #[inline]
    pub fn from_wire(&self, source: SocketAddr) -> PeerAddr {
        let relayed = !self.external.is_empty()
            && self.ports.contains(&source.port())
            && self.relay.iter().any(|ip| ip.0 == source.ip());
        if relayed { PeerAddr(self.advertise(source).0) } else { PeerAddr(source) }
    }

    /// Whether `ip` is one of the server's own, by its public or its private name, and not opened
    /// by `--allow-peer`.
    pub(super) fn is_own(&self, config: &Config, ip: IpAddr) -> bool {
        let own = self.listeners.iter().any(|listener| listener.ip() == ip) || self.is_relay_ip(ip);
        own && config.peers.verdict(ip) != Verdict::Allowed
    }

    /// Whether relayed addresses are opened on `ip`, by its public or its private name.
    pub(super) fn is_relay_ip(&self, ip: IpAddr) -> bool {
        self.relay.iter().any(|relay| relay.0 == ip || self.external(relay.0) == Some(ip))
    }

    /// Whether this process itself listens there.
    #[inline]
    pub(super) fn is_listener(&self, wire: SocketAddr, transport: Transport) -> bool {
        self.listeners.contains(&wire)
            || transport == Transport::Tcp && self.tcp_listeners.iter().any(|at| covers(*at, wire))
    }

    /// Whether a permission for `ip` may be installed: it may if a datagram to some port of it
    /// may be sent.
    pub(super) fn check_permission(&self, config: &Config, ip: IpAddr) -> Result<(), ErrorCode> {
        let allowed = match config.peers.verdict(ip) {
            Verdict::Denied => false,
            Verdict::Allowed => true,
            _ if self.is_relay_ip(ip) => true,
            Verdict::Public => !self.is_own(config, ip),
            Verdict::DeniedByDefault => false,
        };
        allowed.then_some(()).ok_or(ErrorCode::Forbidden)
    }

    /// Whether datagrams may go to `peer`, and where on the wire it is. Of the server's own
    /// addresses only relayed ones that are open may be reached, so that two clients of one server
    /// can talk, and whatever else this machine serves stays out of reach. `reach` is what
    /// [`Engine::reach`](super::Engine::reach) said.
    pub(super) fn check_peer(
        &self,
        config: &Config,
        open: &Relayed,
        peer: PeerAddr,
        reach: Reach,
        transport: Transport,
    ) -> Result<SocketAddr, ErrorCode> {
        self.check_permission(config, peer.0.ip())?;
        let wire = self.to_wire(peer);
        let allowed = peer.0.port() != 0
            // That would be a loop, or a way to our own pages from within.
            && !self.is_listener(wire, transport)
            && (reach == Reach::Any && !self.is_own(config, peer.0.ip())
                || open.contains(wire, transport));
        allowed.then_some(wire).ok_or(ErrorCode::Forbidden)
    }
}

/// Whether a listener takes what comes to `wire`. A system has more loopback addresses than it lists.
fn covers(listener: SocketAddr, wire: SocketAddr) -> bool {
    let everywhere = listener.ip().is_unspecified()
        && listener.is_ipv4() == wire.is_ipv4()
        && wire.ip().is_loopback();
    listener.port() == wire.port() && (listener.ip() == wire.ip() || everywhere)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{AllocationId, Owner};

    const SOMEBODY: Owner = Owner { worker: 0, allocation: AllocationId(0) };

    fn addresses(config: &Config, listeners: &[&str]) -> RelayAddresses {
        RelayAddresses::new(config, listeners.iter().map(|l| l.parse().unwrap()).collect())
    }

    fn peer(text: &str) -> PeerAddr {
        PeerAddr(text.parse().unwrap())
    }

    #[test]
    fn behind_a_nat_both_names_lead_to_the_relay() {
        let config = Config {
            external_ips: vec!["203.0.113.5/10.0.0.5".parse().unwrap()],
            ..Config::default()
        };
        let own = addresses(&config, &["10.0.0.5:3478"]);
        let relayed = own.advertise("10.0.0.5:50000".parse().unwrap());
        assert_eq!(relayed.0.to_string(), "203.0.113.5:50000");
        assert_eq!(own.to_wire(PeerAddr(relayed.0)).to_string(), "10.0.0.5:50000");
        assert_eq!(own.from_wire("10.0.0.5:50000".parse().unwrap()), PeerAddr(relayed.0));
        assert_eq!(own.to_wire(peer("8.8.8.8:1")).to_string(), "8.8.8.8:1");
        // 203.0.113.0/24 is on the list, and so is 10/8; our own relayed addresses stay open.
        let open = Relayed::new(own.relay_ips());
        assert!(own.check_permission(&config, relayed.0.ip()).is_ok());
        assert!(
            own.check_peer(&config, &open, PeerAddr(relayed.0), Reach::Any, Transport::Udp)
                .is_err()
        );
        open.open(own.relay_ips()[0], 50000, SOMEBODY, Transport::Udp);
        assert!(
            own.check_peer(&config, &open, PeerAddr(relayed.0), Reach::Any, Transport::Udp).is_ok()
        );
        for text in ["203.0.113.5:3478", "203.0.113.5:50001", "203.0.113.6:50000"] {
            assert!(
                own.check_peer(&config, &open, peer(text), Reach::Any, Transport::Udp).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn of_our_own_addresses_only_open_relayed_ones_are_peers() {
        let config = Config::default();
        let own = addresses(&config, &["8.8.4.4:3478", "[2606:4700::1]:3478", "127.0.0.1:3478"]);
        let open = Relayed::new(own.relay_ips());
        for ip in own.relay_ips() {
            open.open(*ip, 50000, SOMEBODY, Transport::Udp);
        }
        for (text, ok) in [
            ("8.8.4.4:50000", true),
            ("8.8.4.4:50001", false),
            ("8.8.4.4:3478", false),
            ("8.8.4.4:8080", false),
            ("8.8.4.4:0", false),
            ("8.8.8.8:80", true),
            ("8.8.8.8:0", false),
            ("[2606:4700::1]:50000", true),
            ("[2606:4700::1]:22", false),
            ("127.0.0.1:50000", false),
        ] {
            assert_eq!(
                own.check_peer(&config, &open, peer(text), Reach::Any, Transport::Udp).is_ok(),
                ok,
                "{text}"
            );
        }
    }

    #[test]
    fn even_an_allowed_listener_is_no_peer() {
        let config = Config {
            peers: super::super::PeerPolicy::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]),
            ..Config::default()
        };
        let own = addresses(&config, &["127.0.0.1:3478"]);
        let open = Relayed::new(own.relay_ips());
        assert!(
            own.check_peer(&config, &open, peer("127.0.0.1:3478"), Reach::Any, Transport::Udp)
                .is_err()
        );
        assert!(
            own.check_peer(&config, &open, peer("127.0.0.1:9"), Reach::Any, Transport::Udp).is_ok()
        );
    }

    #[test]
    fn no_listener_of_this_process_is_a_peer_of_a_connect() {
        let config = Config {
            peers: super::super::PeerPolicy::new(
                vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
                vec![],
            ),
            tcp_listeners: ["0.0.0.0:8080", "10.0.0.5:8080", "[::1]:443"]
                .map(|at| at.parse().unwrap())
                .to_vec(),
            ..Config::default()
        };
        let own = addresses(&config, &["10.0.0.5:3478"]);
        let open = Relayed::new(own.relay_ips());
        let check = |text: &str, transport| {
            own.check_peer(&config, &open, peer(text), Reach::Any, transport).is_ok()
        };
        for text in
            ["10.0.0.5:3478", "10.0.0.5:8080", "127.0.0.1:8080", "127.9.9.9:8080", "[::1]:443"]
        {
            assert!(!check(text, Transport::Tcp), "{text}");
        }
        for text in ["10.0.0.5:80", "10.0.0.6:8080", "127.0.0.1:443", "[::1]:8080"] {
            assert!(check(text, Transport::Tcp), "{text}");
        }
        // They do not listen over UDP.
        assert!(check("10.0.0.5:8080", Transport::Udp));
        // To the system, zeros are this machine.
        for text in ["0.0.0.0:8080", "0.0.0.0:3478", "[::]:443"] {
            assert!(!check(text, Transport::Tcp) && !check(text, Transport::Udp), "{text}");
        }
    }

    #[test]
    fn the_relayed_address_is_where_the_client_came_to() {
        let config = Config::default();
        let own = addresses(&config, &["127.0.0.1:1", "8.8.4.4:1", "[::1]:1"]);
        let choose = |own: &RelayAddresses, family, local: &str| {
            own.choose(family, local.parse().unwrap()).map(|ip| ip.0.to_string())
        };
        assert_eq!(choose(&own, Family::V4, "8.8.4.4").unwrap(), "8.8.4.4");
        assert_eq!(choose(&own, Family::V4, "127.0.0.1").unwrap(), "8.8.4.4");
        assert_eq!(choose(&own, Family::V6, "8.8.4.4"), None);
        let local = addresses(&config, &["127.0.0.1:1", "[::1]:1"]);
        assert_eq!(choose(&local, Family::V4, "::1").unwrap(), "127.0.0.1");
        assert_eq!(choose(&local, Family::V6, "::1").unwrap(), "::1");
        let fixed = Config { relay_ips: vec!["8.8.4.5".parse().unwrap()], ..config };
        let own = addresses(&fixed, &["8.8.4.4:1"]);
        assert_eq!(choose(&own, Family::V4, "8.8.4.4").unwrap(), "8.8.4.5");
        assert_eq!(choose(&own, Family::V6, "8.8.4.4"), None);
    }
}
