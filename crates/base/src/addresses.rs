//! The canonical form of addresses, and lists of networks.
//!
//! An IPv4 address may come inside an IPv6 one, `::ffff:192.0.2.1` (RFC 4291 §2.5.5.2): from a
//! dual-stack socket, and from proxies that listen on one. It is the same client, so the address is
//! turned into the IPv4 one on arrival, and limits, policies and answers know one form only.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net};

/// The prefix length of `::ffff:0:0/96`, the network of IPv4-mapped addresses.
const MAPPED_PREFIX: u8 = 96;

/// Returns the canonical form of a socket's address.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // An IPv6 address keeps its scope.
        IpAddr::V6(_) => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// Returns the canonical form of a network: one of IPv4-mapped addresses is a network of IPv4.
pub fn canonical_network(network: IpNet) -> IpNet {
    let IpAddr::V4(ip) = network.addr().to_canonical() else { return network };
    let prefix = match network {
        IpNet::V4(_) => return network,
        IpNet::V6(network) => network.prefix_len().checked_sub(MAPPED_PREFIX),
    };
    prefix.and_then(|prefix| Ipv4Net::new(ip, prefix).ok()).map_or(network, IpNet::V4)
}

/// A list of networks that is shared by every connection.
#[derive(Debug, Clone, Default)]
pub struct Networks(Arc<[IpNet]>);

impl Networks {
    /// Creates the list from the networks of an option.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into_iter().map(canonical_network).collect())
    }

    /// Returns true if an address is in one of the networks.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        for (text, expected) in [
            ("[::ffff:192.0.2.1]:5000", "192.0.2.1:5000"),
            ("192.0.2.1:5000", "192.0.2.1:5000"),
            ("[2001:db8::1]:5000", "[2001:db8::1]:5000"),
            ("[fe80::1%3]:5000", "[fe80::1%3]:5000"),
            // Not mapped, but of the other two forms that hold an IPv4 address.
            ("[::192.0.2.1]:5000", "[::192.0.2.1]:5000"),
            ("[64:ff9b::192.0.2.1]:5000", "[64:ff9b::192.0.2.1]:5000"),
        ] {
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(canonical(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_mapped_network_is_its_ipv4_network() {
        for (text, expected) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/80", "::ffff:0:0/80"),
            ("::/0", "::/0"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("fd00::/8", "fd00::/8"),
        ] {
            let [network, expected] = [text, expected].map(|text| text.parse::<IpNet>().unwrap());
            assert_eq!(canonical_network(network), expected, "{text}");
        }
    }

    #[test]
    fn a_list_contains_an_address_in_either_form() {
        let networks = ["10.0.0.0/8", "::ffff:192.0.2.0/120", "fd00::/8"];
        let networks = Networks::new(networks.map(|net| net.parse().unwrap()).to_vec());
        for (ip, listed) in [
            ("10.1.1.1", true),
            ("::ffff:10.1.1.1", true),
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("192.0.3.9", false),
            ("fd00::1", true),
            ("::1", false),
        ] {
            assert_eq!(networks.contains(ip.parse().unwrap()), listed, "{ip}");
        }
        assert!(!Networks::default().contains("10.1.1.1".parse().unwrap()));
    }
}
