//! The steps of a simulation, and the names in them.

use proptest::prelude::*;

/// A step of one of the clients, or of the world around them.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Allocate { client: usize, even: Option<u8>, v6: bool, dual: bool, mobile: bool },
    Redeem { client: usize },
    Refresh { client: usize, lifetime: u64, v4: Option<bool> },
    Permit { client: usize, peers: Vec<usize> },
    Bind { client: usize, number: u16, peer: usize },
    Send { client: usize, peer: usize },
    ChannelData { client: usize, number: u16 },
    PeerSends { client: usize, peer: usize },
    Retransmit { client: usize, dual: bool },
    Garbage { client: usize, bytes: Vec<u8> },
    Reconnect { client: usize },
    Move { client: usize, port: u16 },
    EndCall { call: usize },
    Announce { client: usize, peer: usize },
    Machine { peers: Vec<usize> },
    Exhausted(bool),
    Without(Option<bool>),
    Advance(u64),
}

pub(super) const CLIENTS: usize = 6;
/// The clients that come over TCP.
pub(super) const STREAMS: std::ops::Range<usize> = 3..CLIENTS;
pub(super) const CALLS: usize = 2;
pub(super) const USERS: [&str; 3] = ["alice", "bob", "carol"];
pub(super) const PEERS: [&str; 8] = [
    "8.8.8.8:1000",
    "8.8.8.8:1001",
    "9.9.9.9:1000",
    "[2606:4700::9]:1000",
    "127.0.0.1:1000",
    "8.8.4.4:3478",
    // Sometimes another client's relayed address, and sometimes nobody's.
    "8.8.4.4:50003",
    "[2606:4700::1]:50003",
];

/// Returns steps of all kinds.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    let peer = || 0..PEERS.len();
    let number = || 0x4000u16..0x4003;
    prop_oneof![
        5 => (
            client(),
            prop::option::weighted(0.3, prop_oneof![Just(0u8), Just(0x80)]),
            prop::bool::weighted(0.2),
            any::<bool>(),
            any::<bool>(),
        )
            .prop_map(|(client, even, v6, dual, mobile)| {
                Step::Allocate { client, even, v6, dual, mobile }
            }),
        1 => client().prop_map(|client| Step::Redeem { client }),
        3 => (client(), prop_oneof![Just(0), Just(600), 0u64..4000], any::<Option<bool>>())
            .prop_map(|(client, lifetime, v4)| Step::Refresh { client, lifetime, v4 }),
        4 => (client(), prop::collection::vec(peer(), 0..4))
            .prop_map(|(client, peers)| Step::Permit { client, peers }),
        4 => (client(), number(), peer())
            .prop_map(|(client, number, peer)| Step::Bind { client, number, peer }),
        3 => (client(), peer()).prop_map(|(client, peer)| Step::Send { client, peer }),
        3 => (client(), number()).prop_map(|(client, number)| Step::ChannelData { client, number }),
        3 => (client(), peer()).prop_map(|(client, peer)| Step::PeerSends { client, peer }),
        1 => (client(), any::<bool>())
            .prop_map(|(client, dual)| Step::Retransmit { client, dual }),
        1 => (client(), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(client, bytes)| Step::Garbage { client, bytes }),
        1 => client().prop_map(|client| Step::Reconnect { client }),
        3 => (client(), 5000u16..5004).prop_map(|(client, port)| Step::Move { client, port }),
        1 => (0..CALLS).prop_map(|call| Step::EndCall { call }),
        2 => (client(), peer()).prop_map(|(client, peer)| Step::Announce { client, peer }),
        1 => prop::collection::vec(peer(), 0..3).prop_map(|peers| Step::Machine { peers }),
        1 => any::<bool>().prop_map(Step::Exhausted),
        1 => any::<Option<bool>>().prop_map(Step::Without),
        4 => (0u64..400).prop_map(Step::Advance),
    ]
}
