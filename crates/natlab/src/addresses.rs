//! The addresses of a lab: those that RFC 5737, RFC 3849, RFC 1918 and RFC 6598 reserve.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The server's addresses. The second one is for NAT behavior discovery.
pub(crate) const SERVER: [Ipv4Addr; 2] =
    [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];

/// The same for IPv6.
pub(crate) const SERVER_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
];

/// The networks of public addresses: a relay may send to these.
pub(crate) const PUBLIC: [&str; 4] =
    ["203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "2001:db8::/32"];

/// A link between two: its addresses and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// The address on the side of the public network.
    pub(crate) outer: IpAddr,
    /// The address on the side of the host.
    pub(crate) inner: IpAddr,
    pub(crate) prefix: u8,
}

impl Link {
    fn v4(network: [u8; 4], prefix: u8) -> Self {
        let at = |host: u8| {
            let [a, b, c, d] = network;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d + host))
        };
        Self { outer: at(1), inner: at(2), prefix }
    }

    fn v6(network: [u16; 4]) -> Self {
        let at = |host| {
            let [a, b, c, d] = network;
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, host))
        };
        Self { outer: at(1), inner: at(2), prefix: 64 }
    }

    /// Returns the network as it is written in a rule.
    pub(crate) fn network(&self) -> String {
        match self.outer {
            // Every network begins one before its outer address.
            IpAddr::V4(ip) => {
                format!("{}/{}", Ipv4Addr::from_bits(ip.to_bits() - 1), self.prefix)
            }
            IpAddr::V6(ip) => {
                format!("{}/{}", Ipv6Addr::from_bits(ip.to_bits() - 1), self.prefix)
            }
        }
    }

    /// Returns the link of another host in the same network.
    pub(crate) fn member(&self, number: usize) -> Self {
        let inner = match self.inner {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() + number as u32).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() + number as u128).into(),
        };
        Self { inner, ..*self }
    }

    /// Returns the first address of the network.
    pub(crate) fn base(&self) -> IpAddr {
        match self.outer {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() - 1).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() - 1).into(),
        }
    }
}

/// The addresses of a network. They differ after each move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the network, from 0, and up to [`MOST`](crate::plan::MOST).
    number: u8,
    /// The number of moves, modulo 2.
    moved: u8,
}

impl Place {
    pub(crate) fn new(number: usize) -> Self {
        Self { number: u8::try_from(number).unwrap_or(u8::MAX), moved: 0 }
    }

    /// Returns the place after a move.
    pub(crate) fn moved(self) -> Self {
        Self { moved: 1 - self.moved, ..self }
    }

    /// Returns the first address of the public IPv4 network on either side of a router.
    fn public(self, upper_half: bool) -> [u8; 4] {
        let last = 4 * (self.number + 1) + if upper_half { 128 } else { 0 };
        match self.moved {
            0 => [198, 51, 100, last],
            _ => [192, 0, 2, last],
        }
    }

    /// The link between a NAT, or a router, and the public network.
    pub(crate) fn uplink(self) -> Link {
        Link::v4(self.public(false), 30)
    }

    /// The same for IPv6.
    pub(crate) fn uplink_v6(self) -> Link {
        Link::v6([0x2001, 0xdb8, 0xffff, self.id()])
    }

    /// The link between the NAT at home and the carrier's.
    pub(crate) fn carrier(self) -> Link {
        Link::v4([100, 64, self.number, 128 * self.moved], 30)
    }

    /// The link between a host and its NAT.
    pub(crate) fn private(self) -> Link {
        match self.moved {
            0 => Link::v4([192, 168, self.number + 1, 0], 24),
            _ => Link::v4([10, 0, self.number + 1, 0], 24),
        }
    }

    /// The link between a host with a public address and its router.
    pub(crate) fn open(self) -> Link {
        Link::v4(self.public(true), 30)
    }

    /// The same for IPv6.
    pub(crate) fn open_v6(self) -> Link {
        Link::v6([0x2001, 0xdb8, 1, self.id()])
    }

    fn id(self) -> u16 {
        u16::from(self.number) + 1 + 256 * u16::from(self.moved)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::MOST;

    #[test]
    fn no_two_links_share_a_network() {
        let mut networks = BTreeSet::new();
        for number in 0..MOST {
            let place = Place::new(number);
            for place in [place, place.moved()] {
                for link in [
                    place.uplink(),
                    place.uplink_v6(),
                    place.carrier(),
                    place.private(),
                    place.open(),
                    place.open_v6(),
                ] {
                    assert!(networks.insert(link.network()), "{link:?}");
                }
            }
        }
        assert_eq!(Place::new(0).uplink().network(), "198.51.100.4/30");
        assert_eq!(Place::new(0).open().inner.to_string(), "198.51.100.134");
    }
}
