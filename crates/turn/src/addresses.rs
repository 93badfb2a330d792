//! The server's own addresses: those on which it listens and relays, and their names outside a 1:1
//! NAT.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use callbox_base::ids::{PeerAddr, RelayedAddr};
use callbox_stun::Family;
use ipnet::IpNet;

use super::{
    Config, ExternalIp, machine::MachineAddresses, peer_policy::equivalents, transport::Transport,
};

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
    /// The addresses that the relay listens on, with real ports.
    listeners: Vec<SocketAddr>,
    /// The addresses that the process listens on besides, over TCP.
    tcp_listeners: Vec<SocketAddr>,
    /// The addresses on which relayed addresses are opened, the preferred ones first.
    relay: Vec<RelayIp>,
    external: Vec<ExternalIp>,
    ports: RangeInclusive<u16>,
    /// The addresses that the machine has now, these or others.
    machine: MachineAddresses,
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
        // Loopback addresses are dropped if another relay address exists.
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

    /// Returns the address of a listener, by its index in the list.
    pub(super) fn listener(&self, index: u16) -> SocketAddr {
        self.listeners[usize::from(index)]
    }

    /// Takes over the networks whose packets the machine takes for itself now. Returns true if they
    /// are others than before.
    pub(super) fn replace_machine_networks(&self, networks: Vec<IpNet>) -> bool {
        self.machine.replace(networks)
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

    /// Returns true if packets for a peer's address go to one on which relayed addresses are
    /// opened.
    pub(super) fn leads_to_relay(&self, ip: IpAddr) -> bool {
        self.relay.contains(&RelayIp(self.to_wire(PeerAddr(SocketAddr::new(ip, 0))).ip()))
    }

    /// Returns true if what is sent to `ip` ends at this machine.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        let listeners = self.listeners.iter().chain(&self.tcp_listeners).map(SocketAddr::ip);
        let relay = self.relay.iter().map(|ip| ip.0);
        let names = self.external.iter().flat_map(|e| [Some(e.public), e.private]).flatten();
        let mut known = listeners.chain(relay).chain(names);
        // The system has more loopback addresses than it lists.
        equivalents(ip).any(|ip| ip.is_loopback() || self.machine.contains(ip))
            || known.any(|own| equivalents(ip).any(|ip| ip == own))
    }

    /// Returns true if this process itself listens there.
    #[inline]
    pub(super) fn is_listener(&self, wire: SocketAddr, transport: Transport) -> bool {
        self.listeners.contains(&wire)
            || transport == Transport::Tcp && self.tcp_listeners.iter().any(|at| covers(*at, wire))
    }
}

/// Returns true if a listener takes what comes to `wire`. A system has more loopback addresses than
/// it lists.
fn covers(listener: SocketAddr, wire: SocketAddr) -> bool {
    let everywhere = listener.ip().is_unspecified()
        && listener.is_ipv4() == wire.is_ipv4()
        && wire.ip().is_loopback();
    listener.port() == wire.port() && (listener.ip() == wire.ip() || everywhere)
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
