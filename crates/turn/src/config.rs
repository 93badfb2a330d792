//! The settings of a server.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use callbox_base::text::trimmed;

use super::PeerPolicy;

/// The settings of a server. [`Default`] has the documented defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The addresses that a 1:1 NAT in front of the server gives it; none by default.
    pub external_ips: Vec<ExternalIp>,
    /// The addresses on which relayed addresses are opened; if there are none, the one that the
    /// client talks to.
    pub relay_ips: Vec<IpAddr>,
    /// The ports of relayed addresses; 49152 to 65535 by default, as RFC 8656 §7.2 recommends.
    pub relay_ports: RangeInclusive<u16>,
    /// The peers that may be reached; by default public addresses.
    pub peers: PeerPolicy,
    /// The addresses on which this process listens over TCP besides the relay, with real ports.
    /// They are no peers of a Connect, whatever `peers` says. One of zeros is on every loopback
    /// address, too.
    pub tcp_listeners: Vec<SocketAddr>,
    /// True if allocations reach only open relayed addresses and announced ones
    /// ([`Common::announce`](crate::Common::announce)): with a call's credentials those of the
    /// call's other side, with others those of the other sides of the user's calls.
    pub signaled_peers: bool,
    /// The largest number of allocations in all; past it an Allocate is answered with 508.
    pub max_allocations: usize,
    /// The largest number of allocations of a user; past it an Allocate is answered with 486.
    pub max_allocations_per_user: usize,
    /// The largest number of permissions of an allocation; past it a request is answered with 508.
    pub max_permissions: usize,
    /// The largest number of channels of an allocation, and of connections to peers; past it a
    /// request is answered with 508.
    pub max_channels: usize,
    /// The largest number of payload bytes a second that an allocation relays, in each direction by
    /// itself; 0 means no limit. Datagrams past it are dropped.
    pub max_bandwidth: u64,
    /// The largest number of payload bytes a second that all allocations of a user relay together,
    /// in each direction by itself; 0 means no limit.
    pub max_bandwidth_per_user: u64,
    /// The largest number of packets a second that an allocation relays, in each direction by
    /// itself; 0 means no limit. Packets past it are dropped.
    pub max_packet_rate: u64,
    /// The largest number of packets a second that all allocations of a user relay together, in
    /// each direction by itself; 0 means no limit.
    pub max_packet_rate_per_user: u64,
    /// The longest lifetime that an allocation is given at a time (RFC 8656 §7.2).
    pub max_lifetime: Duration,
    /// The largest number of error answers a second that one address is sent before it has proved
    /// who it is; requests past it are dropped.
    pub max_unauthenticated_replies: u32,
    /// True if clients may ask for allocations that they keep when they come from another address
    /// (RFC 8016).
    pub mobility: bool,
    /// True if the steps of traces are told, as [`Event::Traced`](crate::Event::Traced).
    pub trace: bool,
    /// True if the driver can send a datagram that no router may fragment
    /// ([`FromClient::Forward`](crate::FromClient::Forward) with `dont_fragment`). If it cannot,
    /// DONT-FRAGMENT is refused.
    pub dont_fragment: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            external_ips: Vec::new(),
            relay_ips: Vec::new(),
            // The range that RFC 8656 §7.2 recommends.
            relay_ports: 49152..=65535,
            peers: PeerPolicy::default(),
            tcp_listeners: Vec::new(),
            signaled_peers: false,
            max_allocations: 10_000,
            max_allocations_per_user: 100,
            max_permissions: 256,
            max_channels: 256,
            max_bandwidth: 0,
            max_bandwidth_per_user: 0,
            max_packet_rate: 0,
            max_packet_rate_per_user: 0,
            max_lifetime: Duration::from_secs(3600),
            max_unauthenticated_replies: 1000,
            mobility: false,
            trace: false,
            dont_fragment: true,
        }
    }
}

/// One address of a 1:1 NAT: the one that the world sees, and the one of this machine that it leads
/// to. Its text is `PUBLIC` or `PUBLIC/PRIVATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExternalIp {
    /// The address that the world sees.
    pub public: IpAddr,
    /// The address of this machine behind it; with `None`, any of the same family.
    pub private: Option<IpAddr>,
}

/// The error for a text that is no [`ExternalIp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExternalIpError {
    /// It is not one address, or two of a family.
    #[error(
        "{0:?} is not PUBLIC or PUBLIC/PRIVATE, two addresses of one family, such as \
         203.0.113.5/10.0.0.5"
    )]
    Form(String),
    /// Clients cannot send to the outer address.
    #[error(
        "{0} is not the address of a machine: give the one that the world sees, such as 203.0.113.5"
    )]
    NoMachine(IpAddr),
}

impl fmt::Display for ExternalIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.private {
            Some(private) => write!(f, "{}/{private}", self.public),
            None => write!(f, "{}", self.public),
        }
    }
}

impl FromStr for ExternalIp {
    type Err = ExternalIpError;

    fn from_str(text: &str) -> Result<Self, ExternalIpError> {
        let error = || ExternalIpError::Form(text.to_owned());
        let parse = |ip: &str| match trimmed(ip).parse::<IpAddr>() {
            Ok(ip) => Ok(ip.to_canonical()),
            Err(_) => Err(error()),
        };
        let (public, private) = match text.split_once('/') {
            Some((public, private)) => (parse(public)?, Some(parse(private)?)),
            None => (parse(text)?, None),
        };
        if private.is_some_and(|private| private.is_ipv4() != public.is_ipv4()) {
            return Err(error());
        }
        let is_broadcast = matches!(public, IpAddr::V4(ip) if ip.is_broadcast());
        if public.is_unspecified() || public.is_multicast() || is_broadcast {
            return Err(ExternalIpError::NoMachine(public));
        }
        Ok(Self { public, private })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_ip_is_one_address_or_two_of_a_family() {
        let both: ExternalIp = "203.0.113.5/10.0.0.5".parse().unwrap();
        assert_eq!(both.private, Some("10.0.0.5".parse().unwrap()));
        assert_eq!("::ffff:203.0.113.5/10.0.0.5".parse(), Ok(both));
        assert_eq!("2001:db8::1".parse::<ExternalIp>().unwrap().private, None);
        for bad in ["", "x", "203.0.113.5/", "203.0.113.5/::1", "1.2.3.4/24"] {
            assert!(bad.parse::<ExternalIp>().is_err(), "{bad}");
        }
        for nowhere in ["0.0.0.0", "::", "224.0.0.1/10.0.0.5", "ff02::1", "255.255.255.255"] {
            let error = nowhere.parse::<ExternalIp>().unwrap_err();
            assert!(matches!(error, ExternalIpError::NoMachine(_)), "{nowhere}: {error}");
        }
    }
}
