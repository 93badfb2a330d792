//! Which relayed addresses there can be, and what they are called outside a 1:1 NAT.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use callbox_base::ids::{PeerAddr, RelayedAddr};
use callbox_stun::Family;

use super::{Config, ExternalIp, machine::MachineAddresses};

/// An address on which relayed addresses are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayIp(pub IpAddr);

impl RelayIp {
    fn family(self) -> Family {
        if self.0.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// The server's own addresses: its listeners, the addresses of relayed ones, and their names
/// outside a 1:1 NAT.
#[derive(Debug, Clone)]
pub struct RelayAddresses {
    /// What the relay listens on, with real ports.
    pub(super) listeners: Vec<SocketAddr>,
    /// What the process listens on besides, over TCP.
    pub(super) tcp_listeners: Vec<SocketAddr>,
    /// Where relayed addresses are opened, the preferred ones first.
    pub(super) relay: Vec<RelayIp>,
    pub(super) external: Vec<ExternalIp>,
    ports: RangeInclusive<u16>,
    /// What the machine has now, these or others.
    pub(super) machine: MachineAddresses,
}

impl RelayAddresses {
    /// Works out the addresses from the settings and from the addresses, with real ports, that the
    /// listeners were bound to.
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
        let machine = MachineAddresses::default();
        Self { listeners, tcp_listeners, relay, external, ports, machine }
    }

    /// The address of a listener, by its place in the list.
    pub(super) fn listener(&self, at: u16) -> SocketAddr {
        self.listeners[usize::from(at)]
    }

    /// Returns every address on which relayed addresses may be opened, the preferred ones first.
    pub fn relay_ips(&self) -> &[RelayIp] {
        &self.relay
    }

    /// Returns the address on which a relayed address of `family` is opened for a client that talks
    /// to the server's address `local`: that address itself where nothing else is set. `None` if
    /// the server has none of the family.
    pub fn choose(&self, family: Family, local: IpAddr) -> Option<RelayIp> {
        let own = RelayIp(local);
        if own.family() == family && self.relay.contains(&own) {
            return Some(own);
        }
        self.relay.iter().find(|ip| ip.family() == family).copied()
    }

    /// Returns the name that the world knows one of the server's own addresses by: the external one
    /// behind a 1:1 NAT, else the address itself.
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

    /// Returns the address to which a datagram for `peer` is sent. A NAT in front of the server may
    /// not lead back in, so the public form of one of the server's own addresses is turned into its
    /// private one.
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

    /// Returns the name of the source of a datagram, as the reverse of [`RelayAddresses::to_wire`].
    #[inline]
    pub fn from_wire(&self, source: SocketAddr) -> PeerAddr {
        let relayed = !self.external.is_empty()
            && self.ports.contains(&source.port())
            && self.relay.iter().any(|ip| ip.0 == source.ip());
        if relayed { PeerAddr(self.advertise(source).0) } else { PeerAddr(source) }
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
