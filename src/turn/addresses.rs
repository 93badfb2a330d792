//! Which relayed addresses there can be, what they are called outside a 1:1 NAT, and which
//! addresses are the server's own.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use super::{Config, ExternalIp, peer_policy::Verdict};
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
    /// Where relayed addresses are opened, the preferred ones first.
    relay: Vec<RelayIp>,
    /// Whether `relay` was set by hand, or is where the listeners are.
    fixed: bool,
    external: Vec<ExternalIp>,
    ports: RangeInclusive<u16>,
}

/// A peer address that may be used, in both of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reachable {
    /// Where to send to: inside a 1:1 NAT, the private form of one of our own addresses.
    pub wire: SocketAddr,
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
        let mut seen = std::collections::HashSet::new();
        relay.retain(|ip| seen.insert(*ip));
        let (external, ports) = (config.external_ips.clone(), config.relay_ports.clone());
        Self { listeners, relay, fixed, external, ports }
    }

    /// The address of a listener, by its place in the list.
    pub(super) fn listener(&self, at: u16) -> SocketAddr {
        self.listeners[usize::from(at)]
    }

    /// Every address on which relayed addresses may be opened.
    pub fn relay_ips(&self) -> &[RelayIp] {
        &self.relay
    }

    /// The address for a relayed address of `family`, for a client that talks to `listener`; the
    /// listener's own address where nothing else is set. `None` if there is none of the family.
    pub fn choose(&self, family: Family, listener: SocketAddr) -> Option<RelayIp> {
        let own = RelayIp(listener.ip());
        if !self.fixed && own.family() == family {
            return Some(own);
        }
        // A client that came over one family and wants the other gets an address that the world
        // can reach, if there is one.
        let fits = |ip: &&RelayIp| ip.family() == family;
        let usable =
            self.relay.iter().filter(fits).find(|ip| own.0.is_loopback() || !ip.0.is_loopback());
        usable.or_else(|| self.relay.iter().find(fits)).copied()
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

    /// Whether `ip` is one of the server's own, by its public or its private name.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        self.listeners.iter().any(|listener| listener.ip() == ip) || self.is_relay_ip(ip)
    }

    fn is_relay_ip(&self, ip: IpAddr) -> bool {
        self.relay.iter().any(|relay| relay.0 == ip || self.external(relay.0) == Some(ip))
    }

    /// Whether a permission for `ip` may be installed: it may if a datagram to some port of it
    /// may be sent.
    pub(super) fn check_permission(&self, config: &Config, ip: IpAddr) -> Result<(), ErrorCode> {
        match config.peers.verdict(ip) {
            Verdict::Denied => Err(ErrorCode::Forbidden),
            Verdict::Allowed => Ok(()),
            Verdict::Public | Verdict::DeniedByDefault if self.is_relay_ip(ip) => Ok(()),
            Verdict::DeniedByDefault => Err(ErrorCode::Forbidden),
            Verdict::Public if self.is_own(ip) => Err(ErrorCode::Forbidden),
            Verdict::Public => Ok(()),
        }
    }

    /// Whether datagrams may go to `peer`. Of the server's own addresses only relayed ones may be
    /// reached, so that two clients of one server can talk, and its services stay out of reach.
    #[inline]
    pub(super) fn check_peer(
        &self,
        config: &Config,
        peer: PeerAddr,
    ) -> Result<Reachable, ErrorCode> {
        let wire = self.to_wire(peer);
        let verdict = config.peers.verdict(peer.0.ip());
        let allowed = match verdict {
            Verdict::Denied => false,
            // A listener of ours is never a peer: that would be a loop.
            _ if self.listeners.contains(&wire) || peer.0.port() == 0 => false,
            Verdict::Allowed => true,
            _ if self.is_relay_ip(peer.0.ip()) => self.ports.contains(&peer.0.port()),
            Verdict::Public => !self.is_own(peer.0.ip()),
            Verdict::DeniedByDefault => false,
        };
        allowed.then_some(Reachable { wire }).ok_or(ErrorCode::Forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(own.check_peer(&config, PeerAddr(relayed.0)).is_ok());
        assert!(own.check_permission(&config, relayed.0.ip()).is_ok());
        assert!(own.check_peer(&config, peer("203.0.113.5:3478")).is_err());
        assert!(own.check_peer(&config, peer("203.0.113.6:50000")).is_err());
    }

    #[test]
    fn of_our_own_addresses_only_relayed_ones_are_peers() {
        let config = Config::default();
        let own = addresses(&config, &["8.8.4.4:3478", "[2606:4700::1]:3478"]);
        for (text, ok) in [
            ("8.8.4.4:50000", true),
            ("8.8.4.4:3478", false),
            ("8.8.4.4:8080", false),
            ("8.8.4.4:0", false),
            ("8.8.8.8:80", true),
            ("8.8.8.8:0", false),
            ("[2606:4700::1]:49152", true),
            ("[2606:4700::1]:22", false),
        ] {
            assert_eq!(own.check_peer(&config, peer(text)).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn even_an_allowed_listener_is_no_peer() {
        let config = Config {
            peers: super::super::PeerPolicy::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]),
            ..Config::default()
        };
        let own = addresses(&config, &["127.0.0.1:3478"]);
        assert!(own.check_peer(&config, peer("127.0.0.1:3478")).is_err());
        assert!(own.check_peer(&config, peer("127.0.0.1:9")).is_ok());
    }

    #[test]
    fn the_relayed_address_is_where_the_client_came_to() {
        let config = Config::default();
        let own = addresses(&config, &["127.0.0.1:1", "8.8.4.4:1", "[::1]:1"]);
        let choose = |own: &RelayAddresses, family, listener: &str| {
            own.choose(family, listener.parse().unwrap()).map(|ip| ip.0.to_string())
        };
        assert_eq!(choose(&own, Family::V4, "8.8.4.4:1").unwrap(), "8.8.4.4");
        assert_eq!(choose(&own, Family::V4, "127.0.0.1:1").unwrap(), "127.0.0.1");
        assert_eq!(choose(&own, Family::V4, "[::1]:1").unwrap(), "127.0.0.1");
        assert_eq!(choose(&own, Family::V6, "8.8.4.4:1").unwrap(), "::1");
        let fixed = Config { relay_ips: vec!["8.8.4.5".parse().unwrap()], ..config };
        let own = addresses(&fixed, &["8.8.4.4:1"]);
        assert_eq!(choose(&own, Family::V4, "8.8.4.4:1").unwrap(), "8.8.4.5");
        assert_eq!(choose(&own, Family::V6, "8.8.4.4:1"), None);
    }
}
