//! The rules of a router, as text of nft(8).
//!
//! - Mapping: `snat` to the external address. The kernel preserves the port, or it is combined with
//!   a constant by exclusive or: with the same one for all, with one for each low part of the
//!   remote address, or with the next of several for each connection. `fully-random` is a port for
//!   each connection.
//! - Filtering: the kernel lets in what belongs to a connection, which is address- and
//!   port-dependent. For the others, each outgoing packet enters its mapping into `inbound`, and
//!   its remote address into `contacted`, and packets from outside are translated by these.
//! - Packets from outside that match nothing are dropped in `input`, before the kernel tracks them.

use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

use rand::seq::index;

use crate::{
    action::Protocol,
    addresses::Link,
    kind::{Behavior, Nat, Ports},
};

/// The interface of a router towards the public network.
pub(super) const OUTER: &str = "wan";

/// The interface of a router towards its host.
pub(super) const INNER: &str = "lan";

/// The port of the forward proxy at the router's inner address.
pub(super) const PROXY_PORT: u16 = 3128;

/// The end of the constants for ports: with an even one the parity is preserved. A port of 16384 or
/// more stays one.
const CONSTANTS: usize = 0x2000;

/// The number of constants of a NAT whose mappings depend on the remote address. A lab of few sides
/// has no two public addresses that are the same modulo this number.
const BUCKETS: usize = 32;

/// The packets from inside that a router forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outgoing {
    All,
    /// All but UDP.
    NoUdp,
    /// TCP to port 443.
    Tls,
    /// Nothing; the proxy is an exception.
    Proxy,
}

/// Returns the rules of a NAT between two links, which replace earlier ones. Ports that they choose
/// are drawn anew.
pub(super) fn nat(nat: &Nat, outer: Link, inner: Link, outgoing: Outgoing) -> String {
    let rules = NatRules {
        nat,
        outer: outer.inner,
        outgoing,
        inside: inner.network(),
        timeout: nat.timeout().as_secs(),
    };
    let mut text = replace("natlab", "ip");
    rules.write(&mut text);
    text
}

/// Returns the rules of a firewall for IPv6 that lets in what belongs to a connection from inside.
pub(super) fn firewall() -> String {
    let mut text = replace("natlab", "ip6");
    text.push_str(
        "table ip6 natlab {
  chain through {
    type filter hook forward priority filter; policy drop
    iifname \"lan\" accept
    ct state established,related accept
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
  }
}
",
    );
    text
}

/// Returns the rules that drop protocols in both directions, which replace earlier ones.
pub(super) fn block(protocols: &BTreeSet<Protocol>) -> String {
    let mut text = replace("natlab_block", "inet");
    let drops: String = protocols
        .iter()
        .map(|protocol| format!("    meta l4proto {} drop\n", protocol.name()))
        .collect();
    let _ = write!(
        text,
        "table inet natlab_block {{
  chain through {{
    type filter hook forward priority -10
{drops}  }}
}}
"
    );
    text
}

/// Returns the lines that remove a table, if it exists.
fn replace(table: &str, family: &str) -> String {
    format!("table {family} {table}\ndelete table {family} {table}\n")
}

struct NatRules<'a> {
    nat: &'a Nat,
    /// The external address.
    outer: IpAddr,
    outgoing: Outgoing,
    /// The network inside.
    inside: String,
    /// The lifetime of a mapping, in seconds.
    timeout: u64,
}

impl NatRules<'_> {
    fn write(&self, text: &mut String) {
        let Self { outer, inside, timeout, .. } = self;
        let (mapping, chains) = self.mapping();
        // A write to a string does not fail.
        let _ = write!(
            text,
            "table ip natlab {{
  ct timeout mapping {{
    protocol udp; l3proto ip; policy = {{ unreplied : {timeout}, replied : {timeout} }};
  }}
  map inbound {{
    type inet_service : ipv4_addr . inet_service; flags dynamic,timeout;
  }}
  set contacted {{
    type ipv4_addr . inet_service; flags dynamic,timeout;
  }}
{chains}  chain lifetime {{
    type filter hook prerouting priority filter
    meta l4proto udp ct timeout set \"mapping\"
  }}
  chain translate_in {{
    type nat hook prerouting priority dstnat
{inward}  }}
  chain translate_out {{
    type nat hook postrouting priority srcnat
    ct original ip daddr {inside} accept
{mapping}    ip saddr {inside} snat to {outer}
  }}
  chain learn {{
    type filter hook postrouting priority srcnat + 10
    ip saddr {outer} meta l4proto udp ct original ip saddr {inside} \
             update @inbound {{ udp sport timeout {timeout}s : ct original ip saddr . ct original proto-src }} \
             update @contacted {{ ip daddr . udp sport timeout {timeout}s }}
    ip saddr {outer} meta l4proto udp ct reply ip saddr {inside} \
             update @inbound {{ udp sport timeout {timeout}s : ct reply ip saddr . ct reply proto-src }} \
             update @contacted {{ ip daddr . udp sport timeout {timeout}s }}
  }}
  chain input {{
    type filter hook input priority filter; policy drop
    icmp type echo-request accept
    ct state established,related accept
    iifname \"{INNER}\" ip daddr != {outer} tcp dport {PROXY_PORT} accept
  }}
  chain through {{
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    ct status dnat accept
{outward}  }}
}}
",
            inward = self.inward(),
            outward = self.outward(),
        );
    }

    /// Returns the rules for the external port, and the chains that they go to.
    fn mapping(&self) -> (String, String) {
        let Self { outer, inside, .. } = self;
        let rule = |rest: &str| format!("    ip saddr {inside} meta l4proto udp {rest}\n");
        let combined = |constant| format!("snat to {outer} : udp sport ^ {constant}");
        let buckets = || {
            (0..BUCKETS).zip(self.constants(BUCKETS)).fold(String::new(), |mut text, (n, value)| {
                let port = combined(value);
                let _ = writeln!(text, "  chain mapping{n} {{ meta l4proto udp {port}; }}");
                text
            })
        };
        match (self.nat.mapping(), self.nat.ports()) {
            (_, Ports::Preserved) => (String::new(), String::new()),
            (Behavior::EndpointIndependent, _) => {
                let constant = self.constants(1).next().unwrap_or(2);
                (rule(&combined(constant)), String::new())
            }
            (Behavior::AddressDependent, _) => {
                let to = |n| format!("0.0.0.{n} : goto mapping{n}");
                let targets: Vec<_> = (0..BUCKETS).map(to).collect();
                let last = BUCKETS - 1;
                let map = format!("ip daddr & 0.0.0.{last} vmap {{ {} }}", targets.join(", "));
                (rule(&map), buckets())
            }
            (Behavior::AddressAndPortDependent, Ports::Random) => {
                (rule(&format!("snat to {outer} : 1024-65535 fully-random")), String::new())
            }
            (Behavior::AddressAndPortDependent, _) => {
                let to = |n| format!("{n} : goto mapping{n}");
                let targets: Vec<_> = (0..BUCKETS).map(to).collect();
                let map = format!("numgen inc mod {BUCKETS} vmap {{ {} }}", targets.join(", "));
                (rule(&map), buckets())
            }
        }
    }

    /// Draws different constants for ports.
    fn constants(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let mut random = rand::rng();
        // A random port is of the other parity, so that it cannot be taken for a preserved one.
        let odd = if self.nat.ports() == Ports::Parity { 0 } else { 1 };
        let drawn: Vec<_> = index::sample(&mut random, CONSTANTS / 2, count).into_vec();
        drawn.into_iter().map(move |n| 2 * (n + 1) + odd)
    }

    /// Returns the rules for packets that come to the external address.
    fn inward(&self) -> String {
        let translate = "meta l4proto udp dnat ip addr . port to udp dport map @inbound";
        let mut text = String::new();
        if self.nat.hairpin() {
            let outer = self.outer;
            let _ = writeln!(text, "    iifname \"{INNER}\" ip daddr {outer} {translate}");
        }
        match self.nat.filtering() {
            Behavior::EndpointIndependent => {
                let _ = writeln!(text, "    iifname \"{OUTER}\" {translate}");
            }
            Behavior::AddressDependent => {
                let known = "ip saddr . udp dport @contacted";
                let _ = writeln!(text, "    iifname \"{OUTER}\" {known} {translate}");
            }
            // Packets of a connection are translated by it.
            Behavior::AddressAndPortDependent => {}
        }
        text
    }

    /// Returns the rules for packets from inside.
    fn outward(&self) -> String {
        match self.outgoing {
            Outgoing::All => format!("    iifname \"{INNER}\" accept\n"),
            Outgoing::NoUdp => format!("    iifname \"{INNER}\" meta l4proto != udp accept\n"),
            Outgoing::Tls => format!(
                "    iifname \"{INNER}\" tcp dport 443 accept\n    \
                 iifname \"{INNER}\" meta l4proto tcp reject with tcp reset\n"
            ),
            Outgoing::Proxy => {
                format!("    iifname \"{INNER}\" meta l4proto tcp reject with tcp reset\n")
            }
        }
    }
}
