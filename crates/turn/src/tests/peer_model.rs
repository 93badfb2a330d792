//! The peers that may be reached, over random addresses, external pairs, lists and changes of the
//! interfaces: the production code beside a plain reference.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::LazyLock,
};

use callbox_base::ids::PeerAddr;
use ipnet::IpNet;
use proptest::{prelude::*, sample::select};

use crate::{
    own_addresses::{check_peer, permitted_ports},
    relayed::Relayed,
    signaled_policy::SignaledScope,
    transport::Transport,
    *,
};

/// Addresses of the machine, or of others.
const ADDRESSES: [&str; 10] = [
    "10.0.0.5",
    "10.0.0.6",
    "8.8.4.4",
    "9.9.9.9",
    "203.0.113.5",
    "127.0.0.1",
    "2606:4700::1",
    "2606:4700::2",
    "fd00::1",
    "::1",
];

/// Peers besides those: other names of them, and nobody's.
const OTHERS: [&str; 11] = [
    "127.0.0.2",
    "1.1.1.1",
    "192.168.1.9",
    "64:ff9b::8.8.4.4",
    "64:ff9b::10.0.0.5",
    "2002:808:404::1",
    "::ffff:8.8.4.4",
    "::ffff:0:9.9.9.9",
    "0.0.0.0",
    "::",
    "224.0.0.1",
];

/// The addresses above that are public, and where a network translates them, those inside.
const PUBLIC: [&str; 6] =
    ["8.8.4.4", "9.9.9.9", "1.1.1.1", "2606:4700::1", "2606:4700::2", "64:ff9b::8.8.4.4"];
const INSIDE: [(&str, &str); 4] = [
    ("64:ff9b::8.8.4.4", "8.8.4.4"),
    ("64:ff9b::10.0.0.5", "10.0.0.5"),
    ("2002:808:404::1", "8.8.4.4"),
    ("::ffff:0:9.9.9.9", "9.9.9.9"),
];

const NETWORKS: [&str; 14] = [
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "10.0.0.5/32",
    "8.8.0.0/16",
    "9.9.9.9/32",
    "127.0.0.0/8",
    "127.0.0.2/32",
    "::1/128",
    "203.0.113.0/24",
    "64:ff9b::/96",
    "2002::/16",
    "2606:4700::/32",
    "fd00::/8",
];

const PORTS: [u16; 5] = [0, 3478, 5353, 8080, 50000];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A server, and what the machine has, first and later.
#[derive(Debug, Clone)]
struct Case {
    listeners: Vec<IpAddr>,
    tcp_listener: IpAddr,
    relay_ips: Vec<IpAddr>,
    external: Vec<ExternalIp>,
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    /// Addresses with an open allocation of each protocol on port 50000.
    open: BTreeSet<IpAddr>,
    machines: [Vec<IpNet>; 3],
    peers: Vec<(IpAddr, u16)>,
}

fn some(max: usize) -> impl Strategy<Value = Vec<IpAddr>> {
    prop::collection::vec(select(&ADDRESSES[..]).prop_map(ip), 0..=max)
}

fn networks() -> impl Strategy<Value = Vec<IpNet>> {
    let network = select(&NETWORKS[..]).prop_map(|text| text.parse().unwrap());
    prop::collection::vec(network, 0..4)
}

fn external() -> impl Strategy<Value = Vec<ExternalIp>> {
    let address = || select(&ADDRESSES[..]).prop_map(ip);
    let pair = (address(), prop::option::of(address())).prop_map(|(public, private)| {
        let private = private.filter(|private| private.is_ipv4() == public.is_ipv4());
        ExternalIp { public, private }
    });
    prop::collection::vec(pair, 0..3)
}

fn machine() -> impl Strategy<Value = Vec<IpNet>> {
    // Now and then all of a network, by a local route.
    let route = prop::option::weighted(0.1, Just("9.9.9.0/24".parse::<IpNet>().unwrap()));
    (some(4), route)
        .prop_map(|(ips, route)| ips.into_iter().map(IpNet::from).chain(route).collect())
}

fn case() -> impl Strategy<Value = Case> {
    let listeners = prop::collection::vec(select(&ADDRESSES[..]).prop_map(ip), 1..3);
    let tcp_listener = prop_oneof![select(&ADDRESSES[..]), Just("0.0.0.0")].prop_map(ip);
    let name = prop_oneof![select(&ADDRESSES[..]), select(&OTHERS[..])].prop_map(ip);
    let peers = prop::collection::vec((name, select(&PORTS[..])), 1..8);
    let lists = (networks(), networks());
    let open = some(4).prop_map(BTreeSet::from_iter);
    let machines = [machine(), machine(), machine()];
    (listeners, tcp_listener, some(2), external(), lists, open, machines, peers).prop_map(
        |(listeners, tcp_listener, relay_ips, external, (allow, deny), open, machines, peers)| {
            Case {
                listeners,
                tcp_listener,
                relay_ips,
                external,
                allow,
                deny,
                open,
                machines,
                peers,
            }
        },
    )
}

/// Says where packets for a peer go, if they may go anywhere: `relay` are the addresses on which
/// relayed ones are opened.
fn reference(
    case: &Case,
    machine: &[IpNet],
    relay: &[IpAddr],
    peer: SocketAddr,
    transport: Transport,
) -> Option<SocketAddr> {
    let name = peer.ip();
    let mut of_family = relay.iter().filter(|ip| ip.is_ipv4() == name.is_ipv4());
    let wire = match case.external.iter().find(|pair| pair.public == name) {
        Some(pair) => pair.private.or(of_family.find(|ip| !ip.is_loopback()).copied()),
        None => None,
    };
    let wire = wire.unwrap_or(name);
    let inside =
        INSIDE.iter().find(|(outside, _)| ip(outside) == name).map(|(_, inside)| ip(inside));
    let names: Vec<IpAddr> = [name].into_iter().chain(inside).collect();
    let listed = |nets: &[IpNet]| nets.iter().any(|net| names.iter().any(|ip| net.contains(ip)));
    let is_nobody = ["0.0.0.0", "::", "::ffff:8.8.4.4", "224.0.0.1"].contains(&&*name.to_string());
    if peer.port() == 0 || is_nobody || listed(&case.deny) {
        return None;
    }
    let pairs = case.external.iter().flat_map(|pair| [Some(pair.public), pair.private]).flatten();
    let ours: Vec<IpAddr> = case.listeners.iter().chain(relay).copied().chain(pairs).collect();
    let is_ours = |ip: &IpAddr| {
        ip.is_loopback()
            || ours.contains(ip)
            || *ip == case.tcp_listener
            || machine.iter().any(|net| net.contains(ip))
    };
    let serves = |at: &IpAddr, port| {
        peer.port() == port
            && (*at == wire || at.is_unspecified() && wire.is_loopback() && wire.is_ipv4())
    };
    let is_listener = case.listeners.iter().any(|at| serves(at, 3478))
        || transport == Transport::Tcp && serves(&case.tcp_listener, 8080);
    let reached = if names.iter().chain([&wire]).any(is_ours) {
        let mut loopback =
            case.allow.iter().filter(|net| net.network().is_loopback() && net.prefix_len() >= 8);
        relay.contains(&wire) && case.open.contains(&wire) && peer.port() == 50000
            || wire == name && loopback.any(|net| net.contains(&wire))
    } else {
        listed(&case.allow) || PUBLIC.contains(&&*display(name))
    };
    (reached && !is_listener).then_some(SocketAddr::new(wire, peer.port()))
}

/// An address as it is written above.
fn display(name: IpAddr) -> String {
    let known = PUBLIC.iter().find(|text| ip(text) == name);
    known.map_or_else(|| name.to_string(), ToString::to_string)
}

/// Open allocations on all addresses; it is large, and what is open is the case's choice.
static OPEN: LazyLock<Relayed> = LazyLock::new(|| {
    let all: Vec<_> = ADDRESSES.iter().map(|text| RelayIp(ip(text))).collect();
    Relayed::new(&all)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn a_peer_is_reached_exactly_where_the_reference_says(case in case()) {
        let config = Config {
            external_ips: case.external.clone(),
            relay_ips: case.relay_ips.clone(),
            peers: PeerPolicy::new(case.allow.clone(), case.deny.clone()),
            tcp_listeners: vec![SocketAddr::new(case.tcp_listener, 8080)],
            ..Config::default()
        };
        let listeners = case.listeners.iter().map(|ip| SocketAddr::new(*ip, 3478)).collect();
        let own = RelayAddresses::new(&config, listeners);
        let relay: Vec<IpAddr> = own.relay_ips().iter().map(|ip| ip.0).collect();
        let owner = Owner { worker: 0, allocation: AllocationId(0) };
        for machine in &case.machines {
            own.replace_machine_networks(machine.clone());
            for (name, port) in &case.peers {
                let peer = SocketAddr::new(*name, *port);
                for transport in [Transport::Udp, Transport::Tcp] {
                    for ip in &case.open {
                        OPEN.open(RelayIp(*ip), 50000, owner, transport);
                    }
                    let reached =
                        check_peer(&own, &config.peers, &OPEN, PeerAddr(peer), SignaledScope::Any, transport).ok();
                    case.open.iter().for_each(|ip| OPEN.close(RelayIp(*ip), 50000));
                    let expected = reference(&case, machine, &relay, peer, transport);
                    prop_assert_eq!(reached, expected, "{} {:?}, {:?}", peer, transport, machine);
                    // A permission has no port: without one that is reached, there is none.
                    let permitted = permitted_ports(&own, &config.peers, *name).is_ok();
                    prop_assert!(permitted || reached.is_none());
                }
            }
        }
    }
}
