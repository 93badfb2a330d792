//! The peers that a client may reach. A relay stands inside somebody's network; without a policy it
//! is a way into it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::special_ranges::is_special;

/// The NAT64 prefix (RFC 6052 §2.1): its last 32 bits are an IPv4 address, judged as such.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// The NAT64 prefix for a network's own use (RFC 8215).
const LOCAL_NAT64: [u16; 3] = [0x64, 0xff9b, 1];

/// The peers that may be reached, by address: public ones, without those that are denied and with
/// those that are allowed.
#[derive(Debug, Clone)]
pub struct PeerPolicy {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl PeerPolicy {
    /// Denies the special ranges (private, loopback, link-local and others), but for the networks
    /// in `allow`. Networks in `deny` stay closed even where `allow` opens them; groups and
    /// addresses of zeros always do.
    pub fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        Self { allow, deny }
    }

    /// Returns the lists' verdict on an address; the server's own ones are judged besides.
    pub(super) fn verdict(&self, ip: IpAddr) -> Verdict {
        let listed =
            |nets: &[IpNet]| equivalents(ip).any(|form| nets.iter().any(|net| net.contains(&form)));
        // Zeros are nobody's address, and to the system they are this machine. An IPv4-mapped
        // address is on no wire: no socket of one family sends to it, so no list opens it either.
        // Groups are no peers, and what is sent to one comes back to the sockets of this machine.
        if ip.is_unspecified() || is_mapped(ip) || is_group(ip) || listed(&self.deny) {
            Verdict::Denied
        } else if listed(&self.allow) {
            Verdict::Allowed
        } else if equivalents(ip).any(is_special) {
            Verdict::DeniedByDefault
        } else {
            Verdict::Public
        }
    }

    /// Returns true if a loopback address is opened. Only a network of loopback addresses opens
    /// this machine; a larger network that contains them does not.
    pub(super) fn opens_loopback(&self, ip: IpAddr) -> bool {
        const V4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));
        const V6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128));
        let loopback = |net: &&IpNet| V4.contains(*net) || V6.contains(*net);
        self.allow.iter().filter(loopback).any(|net| net.contains(&ip))
    }

    /// Returns true if the lists let a datagram go to `peer`. The server's own addresses are judged
    /// besides.
    pub fn permits(&self, peer: SocketAddr) -> bool {
        matches!(self.verdict(peer.ip()), Verdict::Allowed | Verdict::Public)
    }
}

impl Default for PeerPolicy {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

/// The verdict of the lists on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// `--deny-peer` names it, or it is none.
    Denied,
    /// `--allow-peer` names it.
    Allowed,
    /// It is in a special range.
    DeniedByDefault,
    /// Nothing names it.
    Public,
}

/// Returns true if it is an IPv4 address in the form of an IPv6 one (RFC 4291 §2.5.5.2).
fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

/// Returns true if what is sent there is for several, or for everybody.
fn is_group(ip: IpAddr) -> bool {
    equivalents(ip).any(|ip| ip.is_multicast() || ip == Ipv4Addr::BROADCAST)
}

/// Returns each address that something sent to `ip` may end at: as it is written, and the IPv4
/// address inside. So no disguise opens a way around a list.
pub(super) fn equivalents(ip: IpAddr) -> impl Iterator<Item = IpAddr> + Clone {
    [Some(ip), embedded_v4(ip).map(IpAddr::V4)].into_iter().flatten()
}

/// Returns the IPv4 address that an IPv6 one carries: v4-mapped, v4-compatible, v4-translated,
/// NAT64 or 6to4.
fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let s = ip.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    if ip == Ipv6Addr::UNSPECIFIED || ip == Ipv6Addr::LOCALHOST {
        return None;
    }
    let translated = s[..6] == [0, 0, 0, 0, 0xffff, 0];
    // Most networks that choose a prefix of 64:ff9b:1::/48 choose one of 96 bits (RFC 8215 §5).
    let nat64 = s[..6] == NAT64 || s[..3] == LOCAL_NAT64;
    if ip.to_ipv4().is_some() || translated || nat64 {
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
    fn no_list_opens_a_group() {
        let policy =
            PeerPolicy::new(nets(&["0.0.0.0/0", "::/0", "224.0.0.0/4", "ff00::/8"]), vec![]);
        for ip in [
            "224.0.0.1",
            "224.0.0.251",
            "239.255.255.250",
            "255.255.255.255",
            "ff02::1",
            "ff0e::1",
            "64:ff9b::224.0.0.1",
        ] {
            assert!(!permits(&policy, ip), "{ip}");
        }
        assert!(permits(&policy, "223.255.255.255") && permits(&policy, "240.0.0.1"));
    }

    #[test]
    fn addresses_that_are_not_public_are_denied() {
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
            "3fff::1",
            "5f00::1",
            "100:0:0:1::1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:8.8.8.8",
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

    #[test]
    fn loopback_is_opened_by_its_own_networks_only() {
        for (allowed, ip, opened) in [
            ("127.0.0.0/8", "127.0.0.1", true),
            ("127.0.0.2/32", "127.0.0.2", true),
            ("127.0.0.2/32", "127.0.0.1", false),
            ("::1/128", "::1", true),
            ("0.0.0.0/0", "127.0.0.1", false),
            ("::/0", "::1", false),
            ("10.0.0.0/8", "10.0.0.1", false),
        ] {
            let policy = PeerPolicy::new(nets(&[allowed]), Vec::new());
            assert_eq!(policy.opens_loopback(ip.parse().unwrap()), opened, "{ip} by {allowed}");
        }
    }

    proptest! {
        /// No IPv6 form of an IPv4 address gets past the list.
        #[test]
        fn an_embedded_ipv4_address_is_not_permitted_if_it_is_denied(v4: Ipv4Addr) {
            let policy = PeerPolicy::default();
            let plain = policy.permits(SocketAddr::new(v4.into(), 9));
            let o = v4.octets();
            let (high, low) = (u16::from_be_bytes([o[0], o[1]]), u16::from_be_bytes([o[2], o[3]]));
            for v6 in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert!(plain || !policy.permits(SocketAddr::new(v6.into(), 9)), "{}", v6);
            }
        }
    }
}
