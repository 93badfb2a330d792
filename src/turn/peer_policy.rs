//! Which peers a client may reach. A relay stands inside somebody's network; without a policy it
//! is a way into it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// What is denied unless allowed: whatever is not public unicast (IANA's special-purpose
/// registries), and addresses at which clouds serve their secrets. The AWS, GCP and Alibaba ones
/// fall into the link-local, CGNAT and ULA blocks.
const DENIED: [&str; 27] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Azure's host endpoint, a public address that is none.
    "168.63.129.16/32",
    // ::, ::1 and the IPv4-compatible addresses.
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    // Teredo, benchmarking, ORCHID and the rest of the IETF's protocol assignments.
    "2001::/23",
    "2001:db8::/32",
    // 6to4: an IPv4 address in disguise.
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The NAT64 prefix (RFC 6052 §2.1): its last 32 bits are an IPv4 address, judged as such.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Which peers may be reached, by address.
#[derive(Debug, Clone)]
pub struct PeerPolicy {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    builtin: Vec<IpNet>,
}

impl PeerPolicy {
    /// The built-in list of denied networks, with `allow` opening holes in it. What `deny` names
    /// stays closed even where `allow` opens it.
    pub fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        // The list is ours, and a test parses each line of it.
        let builtin = DENIED.iter().filter_map(|net| net.parse().ok()).collect();
        Self { allow, deny, builtin }
    }

    /// What is known of an address before the server's own ones are looked at.
    pub(super) fn verdict(&self, ip: IpAddr) -> Verdict {
        // Each form that the address has is looked up, so that no disguise opens a way around a
        // list: the address as it was written, and the IPv4 address inside.
        let forms = [Some(ip), embedded_v4(ip).map(IpAddr::V4)];
        let listed = |nets: &[IpNet]| {
            forms.iter().flatten().any(|ip| nets.iter().any(|net| net.contains(ip)))
        };
        // Zeros are nobody's address, and to the system they are this machine. An IPv4-mapped address
        // is on no wire: no socket of one family sends to it, so no list opens it either.
        if ip.is_unspecified() || is_mapped(ip) || listed(&self.deny) {
            Verdict::Denied
        } else if listed(&self.allow) {
            Verdict::Allowed
        } else if listed(&self.builtin) {
            Verdict::DeniedByDefault
        } else {
            Verdict::Public
        }
    }

    /// Whether a datagram may go to `peer`, as far as the lists know.
    pub fn permits(&self, peer: SocketAddr) -> bool {
        matches!(self.verdict(peer.ip()), Verdict::Allowed | Verdict::Public)
    }
}

impl Default for PeerPolicy {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

/// What the lists say of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// `--deny-peer` names it, or it is none.
    Denied,
    /// `--allow-peer` names it.
    Allowed,
    /// It is on the built-in list.
    DeniedByDefault,
    /// Nothing names it.
    Public,
}

/// Returns true if it is an IPv4 address in the form of an IPv6 one (RFC 4291 §2.5.5.2).
fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

/// The IPv4 address that an IPv6 one carries: v4-mapped, v4-compatible, NAT64 or 6to4.
fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let s = ip.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    if ip == Ipv6Addr::UNSPECIFIED || ip == Ipv6Addr::LOCALHOST {
        None
    } else if ip.to_ipv4().is_some() || s[..6] == NAT64 {
        Some(from(s[6], s[7]))
    } else if s[0] == 0x2002 {
        Some(from(s[1], s[2]))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn permits(policy: &PeerPolicy, ip: &str) -> bool {
        policy.permits(SocketAddr::new(ip.parse().unwrap(), 9))
    }

    fn nets(nets: &[&str]) -> Vec<IpNet> {
        nets.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn every_line_of_the_list_is_a_network() {
        assert_eq!(PeerPolicy::default().builtin.len(), DENIED.len());
    }

    #[test]
    fn what_is_not_public_is_denied() {
        let policy = PeerPolicy::default();
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.0.192",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "fd00:ec2::254",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
        ] {
            assert!(!permits(&policy, ip), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "64:ff9b::8.8.8.8"] {
            assert!(permits(&policy, ip), "{ip}");
        }
    }

    #[test]
    fn allow_opens_and_deny_closes() {
        let policy = PeerPolicy::new(
            nets(&["10.0.0.0/8", "8.8.0.0/16"]),
            nets(&["10.9.0.0/16", "1.1.1.1/32"]),
        );
        for (ip, open) in [
            ("10.1.0.1", true),
            ("10.9.0.1", false),
            ("1.1.1.1", false),
            ("::ffff:1.1.1.1", false),
            ("64:ff9b::1.1.1.1", false),
            ("192.168.0.1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(permits(&policy, ip), open, "{ip}");
        }
    }

    #[test]
    fn no_list_opens_a_mapped_address() {
        let policy = PeerPolicy::new(nets(&["10.0.0.0/8", "::/0"]), Vec::new());
        assert!(permits(&policy, "10.1.0.1") && permits(&policy, "fd00::1"));
        for ip in ["::ffff:10.1.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8"] {
            assert!(!permits(&policy, ip), "{ip}");
        }
    }

    proptest! {
        /// No IPv6 dress gets an IPv4 address past the list.
        #[test]
        fn a_disguise_opens_nothing(v4: Ipv4Addr) {
            let policy = PeerPolicy::default();
            let plain = policy.permits(SocketAddr::new(v4.into(), 9));
            let o = v4.octets();
            let (high, low) = (u16::from_be_bytes([o[0], o[1]]), u16::from_be_bytes([o[2], o[3]]));
            for v6 in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert!(plain || !policy.permits(SocketAddr::new(v6.into(), 9)), "{}", v6);
            }
        }
    }
}
