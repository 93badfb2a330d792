//! The address ranges that hold no peer: whatever is not public unicast.
//!
//! The table is IANA's two special-purpose registries (RFC 6890) as of 2025-10-09, multicast, and
//! one address of a cloud. A range is here whatever the registry's column "Globally Reachable"
//! says: behind those where it says true are anycast services of whoever is next to the server
//! (PCP, TURN, AMT, AS112) and identifiers that no router forwards to, and never a client. Of IPv6
//! everything outside of 2000::/3, from which alone IANA assigns unicast addresses, is special
//! without a row; 64:ff9b::/96 is the exception, behind which there is an IPv4 address.

use std::{net::IpAddr, sync::LazyLock};

use ipnet::{IpNet, Ipv6Net};

/// Each range, and its name in the registry with the RFC:
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const RANGES: [(&str, &str); 54] = [
    ("0.0.0.0/8", "This network, RFC 791 §3.2"),
    ("0.0.0.0/32", "This host on this network, RFC 1122 §3.2.1.3"),
    ("10.0.0.0/8", "Private-Use, RFC 1918"),
    ("100.64.0.0/10", "Shared Address Space, RFC 6598"),
    ("127.0.0.0/8", "Loopback, RFC 1122 §3.2.1.3"),
    ("169.254.0.0/16", "Link Local, RFC 3927"),
    ("172.16.0.0/12", "Private-Use, RFC 1918"),
    ("192.0.0.0/24", "IETF Protocol Assignments, RFC 6890 §2.1"),
    ("192.0.0.0/29", "IPv4 Service Continuity Prefix, RFC 7335"),
    ("192.0.0.8/32", "IPv4 dummy address, RFC 7600"),
    ("192.0.0.9/32", "Port Control Protocol Anycast, RFC 7723"),
    ("192.0.0.10/32", "Traversal Using Relays around NAT Anycast, RFC 8155"),
    ("192.0.0.170/32", "NAT64/DNS64 Discovery, RFC 8880"),
    ("192.0.0.171/32", "NAT64/DNS64 Discovery, RFC 8880"),
    ("192.0.2.0/24", "Documentation (TEST-NET-1), RFC 5737"),
    ("192.31.196.0/24", "AS112-v4, RFC 7535"),
    ("192.52.193.0/24", "AMT, RFC 7450"),
    ("192.88.99.0/24", "Deprecated (6to4 Relay Anycast), RFC 7526"),
    ("192.88.99.2/32", "6a44-relay anycast address, RFC 6751"),
    ("192.168.0.0/16", "Private-Use, RFC 1918"),
    ("192.175.48.0/24", "Direct Delegation AS112 Service, RFC 7534"),
    ("198.18.0.0/15", "Benchmarking, RFC 2544"),
    ("198.51.100.0/24", "Documentation (TEST-NET-2), RFC 5737"),
    ("203.0.113.0/24", "Documentation (TEST-NET-3), RFC 5737"),
    ("240.0.0.0/4", "Reserved, RFC 1112 §4"),
    ("255.255.255.255/32", "Limited Broadcast, RFC 919 §7"),
    ("::/128", "Unspecified Address, RFC 4291 §2.5.2"),
    ("::1/128", "Loopback Address, RFC 4291 §2.5.3"),
    ("::ffff:0:0/96", "IPv4-mapped Address, RFC 4291 §2.5.5.2"),
    ("64:ff9b:1::/48", "IPv4-IPv6 Translation, RFC 8215"),
    ("100::/64", "Discard-Only Address Block, RFC 6666"),
    ("100:0:0:1::/64", "Dummy IPv6 Prefix, RFC 9780"),
    ("2001::/23", "IETF Protocol Assignments, RFC 2928"),
    ("2001::/32", "TEREDO, RFC 4380"),
    ("2001:1::1/128", "Port Control Protocol Anycast, RFC 7723"),
    ("2001:1::2/128", "Traversal Using Relays around NAT Anycast, RFC 8155"),
    ("2001:1::3/128", "DNS-SD Service Registration Protocol Anycast, RFC 9665"),
    ("2001:2::/48", "Benchmarking, RFC 5180"),
    ("2001:3::/32", "AMT, RFC 7450"),
    ("2001:4:112::/48", "AS112-v6, RFC 7535"),
    ("2001:10::/28", "Deprecated (previously ORCHID), RFC 4843"),
    ("2001:20::/28", "ORCHIDv2, RFC 7343"),
    ("2001:30::/28", "Drone Remote ID Protocol Entity Tags, RFC 9374"),
    ("2001:db8::/32", "Documentation, RFC 3849"),
    ("2002::/16", "6to4, RFC 3056"),
    ("2620:4f:8000::/48", "Direct Delegation AS112 Service, RFC 7534"),
    ("3fff::/20", "Documentation, RFC 9637"),
    ("5f00::/16", "Segment Routing (SRv6) SIDs, RFC 9602"),
    ("fc00::/7", "Unique-Local, RFC 4193"),
    ("fe80::/10", "Link-Local Unicast, RFC 4291 §2.5.6"),
    // Not in these registries, and here for the reader of the table; but for the first they would
    // be special without a row.
    ("224.0.0.0/4", "Multicast, RFC 5771"),
    ("::ffff:0:0:0/96", "IPv4-translated Address, RFC 2765 §2.1"),
    ("ff00::/8", "Multicast, RFC 4291 §2.7"),
    // The machine below each virtual one; the secrets of the other clouds are on link-local, shared
    // and unique-local addresses.
    ("168.63.129.16/32", "Azure's WireServer"),
];

/// The IPv6 addresses that IANA assigns to networks (RFC 4291 §2.4).
const GLOBAL_UNICAST: &str = "2000::/3";

/// The prefix behind which there is an IPv4 address (RFC 6052 §2.1), which is judged instead.
const NAT64: &str = "64:ff9b::/96";

/// The ranges, parsed once.
struct Table {
    ranges: Vec<IpNet>,
    global_unicast: Ipv6Net,
    nat64: Ipv6Net,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    const OURS: &str = "a test reads each row";
    Table {
        ranges: RANGES.iter().map(|(range, _)| range.parse().expect(OURS)).collect(),
        global_unicast: GLOBAL_UNICAST.parse().expect(OURS),
        nat64: NAT64.parse().expect(OURS),
    }
});

/// Returns true if no peer has this address, as it is written. An IPv4 address inside is another
/// question, which [`equivalents`](super::peer_policy::equivalents) answers.
pub(super) fn is_special(ip: IpAddr) -> bool {
    let table = &*TABLE;
    let named = || table.ranges.iter().any(|range| range.contains(&ip));
    match ip {
        IpAddr::V4(_) => named(),
        IpAddr::V6(v6) if table.nat64.contains(&v6) => false,
        IpAddr::V6(v6) => !table.global_unicast.contains(&v6) || named(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use proptest::prelude::*;

    use super::*;
    use crate::PeerPolicy;

    fn permits(ip: IpAddr) -> bool {
        PeerPolicy::default().permits(SocketAddr::new(ip, 9))
    }

    #[test]
    fn no_special_range_is_reached() {
        for (text, name) in RANGES {
            let range: IpNet = text.parse().unwrap_or_else(|_| panic!("{text} is no network"));
            assert_eq!(range, range.trunc(), "{text}: bits behind the prefix");
            let ends = [range.network(), range.broadcast()];
            for ip in ends {
                assert!(is_special(ip) && !permits(ip), "{ip} of {text}, {name}");
            }
        }
    }

    /// The first and the last address outside of each row are as public as their neighbours.
    #[test]
    fn addresses_beside_a_special_range_are_unaffected_by_it() {
        for (ip, is_permitted) in [
            ("1.0.0.0", true),
            ("9.255.255.255", true),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("126.255.255.255", true),
            ("128.0.0.0", true),
            ("169.253.255.255", true),
            ("169.255.0.0", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.0.1.0", true),
            ("192.0.3.0", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("168.63.129.15", true),
            ("1fff:ffff::1", false),
            ("2001:200::1", true),
            ("2001:db7:ffff::1", true),
            ("2001:db9::1", true),
            ("2003::1", true),
            ("2606:4700::1", true),
            ("3ffe:ffff::1", true),
            ("3fff:1000::1", true),
            ("4000::1", false),
            ("5eff::1", false),
            ("64:ff9a::1", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b:0:0:0:1::1", false),
            ("64:ff9b:2::1", false),
            ("100:0:0:2::1", false),
            ("8000::1", false),
            ("fec0::1", false),
        ] {
            assert_eq!(permits(ip.parse().unwrap()), is_permitted, "{ip}");
        }
    }

    proptest! {
        #[test]
        fn of_ipv6_only_global_unicast_and_nat64_are_reached(ip: Ipv6Addr, low: u128) {
            let global = Ipv6Addr::from(u128::from(ip) >> 3 | 1 << 125);
            let near = Ipv6Addr::from(low >> 64);
            for ip in [ip, global, near] {
                let segments = ip.segments();
                let may = segments[0] >> 13 == 1 || segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
                prop_assert!(may || !permits(ip.into()), "{}", ip);
            }
        }

        #[test]
        fn of_ipv4_only_public_unicast_is_reached(ip: Ipv4Addr) {
            let none = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_broadcast()
                || ip.is_documentation() || ip.is_multicast() || ip.is_unspecified()
                || ip.octets()[0] >= 240;
            prop_assert!(!none || !permits(ip.into()), "{}", ip);
        }
    }
}
