//! Random clients against the production core, with a model of what must be: whatever they do, in
//! whatever order, data passes exactly where a permission or a channel lets it, and when they are
//! gone nothing is left of them.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use ::stun::{attributes::*, message::*};
use callbox_base::ids::{CallId, UserId};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use crate::{testing::*, *};

/// What one of the clients does, or the world around them.
#[derive(Debug, Clone)]
enum Step {
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

const CLIENTS: usize = 6;
/// Those of them that come over TCP.
const STREAMS: std::ops::Range<usize> = 3..CLIENTS;
const CALLS: usize = 2;
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const PEERS: [&str; 8] = [
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

fn step() -> impl Strategy<Value = Step> {
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

/// What the model knows of an allocation.
#[derive(Debug, Clone)]
struct Model {
    /// One address, or one of each family, and until when each lives.
    relayed: Vec<(SocketAddr, Instant)>,
    permissions: HashMap<IpAddr, Instant>,
    channels: HashMap<u16, (SocketAddr, Instant)>,
    /// What its client shows when it has moved, if it may.
    ticket: Option<Vec<u8>>,
}

impl Model {
    fn new(now: Instant, answer: &Answer) -> Self {
        let expires = now + Duration::from_secs(answer.lifetime());
        Self {
            relayed: answer.all_relayed().into_iter().map(|at| (at, expires)).collect(),
            permissions: HashMap::new(),
            channels: HashMap::new(),
            ticket: answer.raw(MOBILITY_TICKET),
        }
    }

    /// The address that packets to and from a peer pass through.
    fn address_for(&self, now: Instant, peer: IpAddr) -> Option<SocketAddr> {
        self.alive(now).find(|at| at.is_ipv4() == peer.is_ipv4())
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = SocketAddr> {
        self.relayed.iter().filter(move |(_, expires)| *expires > now).map(|(at, _)| *at)
    }

    /// A permission lasts until the latest time that a request has given it.
    fn permit(&mut self, ip: IpAddr, expires: Instant) {
        let known = self.permissions.entry(ip).or_insert(expires);
        *known = expires.max(*known);
    }

    fn permits(&self, now: Instant, ip: IpAddr) -> bool {
        self.permissions.get(&ip).is_some_and(|expires| *expires > now)
            && self.address_for(now, ip).is_some()
    }

    fn channel(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let (to, expires) = *self.channels.get(&number)?;
        (expires > now && self.address_for(now, to.ip()).is_some()).then_some(to)
    }
}

struct Simulation {
    world: World,
    clients: Vec<Client>,
    call_of: Vec<Option<usize>>,
    models: Vec<Option<Model>>,
    last_allocate: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    token: Option<Vec<u8>>,
    signaled_peers: bool,
    /// What the machine has besides the listeners' addresses.
    machine: HashSet<IpAddr>,
    /// What was announced in each call that is not over: by which user, and where.
    announced: [Option<HashSet<(usize, IpAddr)>>; CALLS],
}

fn call(n: usize) -> CallId {
    CallId::generate(n as u64, &mut StdRng::seed_from_u64(n as u64))
}

/// A dual allocation has both addresses, IPv4 first, or one and the reason why not the other.
fn check_addresses(answer: &Answer, dual: bool, without: Option<bool>) {
    let families: Vec<_> = answer.all_relayed().iter().map(SocketAddr::is_ipv4).collect();
    let missing = answer.address_error();
    assert!(without.is_none_or(|v4| !families.contains(&v4)));
    match &families[..] {
        [true, false] => assert!(dual && missing.is_none()),
        [v4] if dual => assert_eq!(missing, Some((!v4, 508))),
        [_] => assert_eq!(missing, None),
        other => panic!("{other:?}"),
    }
}

impl Simulation {
    fn new(signaled_peers: bool) -> Self {
        let config = Config {
            max_allocations: 5,
            max_allocations_per_user: 3,
            max_permissions: 2,
            max_channels: 2,
            relay_ports: 50000..=50007,
            signaled_peers,
            mobility: true,
            ..Config::default()
        };
        let mut world = World::new(config, 2);
        let call_of: Vec<_> = (0..CLIENTS).map(|n| (n < 4).then_some(n % CALLS)).collect();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let address = format!("198.51.100.1:{}", 4000 + n);
                let user = USERS[n % 3];
                let client = match call_of[n] {
                    Some(of) => Client::minted(&world, &address, user, Some(call(of)), 3000),
                    None => Client::new(&address, user),
                };
                client.with(if n % 2 == 0 { Proof::Old } else { NEW })
            })
            .collect();
        for client in &clients[STREAMS] {
            world.connect(client.address);
        }
        let none = || vec![None; CLIENTS];
        Self {
            world,
            clients,
            call_of,
            models: none(),
            last_allocate: vec![None; CLIENTS],
            token: None,
            machine: HashSet::new(),
            signaled_peers,
            announced: [(); CALLS].map(|()| Some(HashSet::new())),
        }
    }

    /// What goes from one relayed address to another comes to the same as through the kernel.
    fn check_hand_over(&mut self, client: usize, to: Option<SocketAddr>) {
        let now = self.now();
        let handed_over = self.world.handed_over.take();
        let receiver = to.and_then(|to| {
            self.models.iter().flatten().find(|m| m.alive(now).any(|at| at == to)).cloned()
        });
        assert_eq!(handed_over.is_some(), receiver.is_some());
        let (Some((way, got)), Some(receiver), Some(sender)) =
            (handed_over, receiver, self.model(client).cloned())
        else {
            return;
        };
        let from = sender.address_for(now, way.to.ip()).expect("it was sent from there");
        assert_eq!((way.from, Some(way.to)), (from, to));
        let permitted = receiver.permits(now, from.ip());
        assert_eq!(got.is_some(), permitted);
        let plain = self.world.peer_sends(from, way.to, b"up");
        // A Data indication has a transaction of its own.
        assert_eq!(
            got.map(|bytes| (bytes.len(), bytes[0])),
            plain.map(|bytes| (bytes.len(), bytes[0]))
        );
    }

    /// Whether an address has no relayed ones and is the machine's.
    fn is_closed(&self, ip: IpAddr) -> bool {
        let relay = LISTENERS.iter().any(|l| l.parse::<SocketAddr>().unwrap().ip() == ip);
        !relay && (ip.is_loopback() || self.machine.contains(&ip))
    }

    /// Whether a peer is none of our own addresses, or one that is relayed now.
    fn reachable(&self, peer: SocketAddr) -> bool {
        let own = LISTENERS.iter().any(|l| l.parse::<SocketAddr>().unwrap().ip() == peer.ip())
            || self.machine.contains(&peer.ip());
        !own || self.world.network.sockets.values().any(|open| *open == peer)
    }

    /// Whether a client's call says nothing against an address: the call's other side has announced
    /// it, or it is one of the server's own.
    fn reaches(&self, client: usize, ip: IpAddr) -> bool {
        if !self.signaled_peers {
            return true;
        }
        // Whose credentials name no call reaches what all calls say, since each user is in all of them.
        let calls = self.call_of[client].map_or(0..CALLS, |call| call..call + 1);
        let known = self.announced[calls].iter().flatten().flatten();
        let own = LISTENERS.iter().any(|l| l.parse::<SocketAddr>().unwrap().ip() == ip);
        own || known.into_iter().any(|(by, at)| *by != client % USERS.len() && *at == ip)
    }

    fn now(&self) -> Instant {
        self.world.now.instant
    }

    /// The model of a client's allocation, if it is still alive.
    fn model(&mut self, client: usize) -> Option<&mut Model> {
        let now = self.now();
        self.models[client].as_mut().filter(|model| model.alive(now).next().is_some())
    }

    fn allocate(&mut self, n: usize, attributes: &[Box<dyn Setter>], dual: bool) {
        let had = self.model(n).is_some();
        let without = self.world.network.without;
        let client = &mut self.clients[n];
        let answer = client.request(&mut self.world, METHOD_ALLOCATE, attributes);
        match answer.code {
            None => {
                assert!(!had, "two allocations on one 5-tuple");
                check_addresses(&answer, dual, without);
                self.models[n] = Some(Model::new(self.now(), &answer));
                self.token = answer.raw(ATTR_RESERVATION_TOKEN).or(self.token.take());
            }
            Some(437) => assert!(had),
            Some(code) => assert!([400, 401, 440, 486, 508].contains(&code), "{code}"),
        }
    }

    /// A client shows its ticket, which is for the allocation that it has, or had.
    fn come_back(&mut self, client: usize) {
        let known = self.models[client].as_ref().and_then(|model| model.ticket.clone());
        let shown = raw(MOBILITY_TICKET, &known.clone().unwrap_or_else(|| vec![7; 22]));
        let answer = self.clients[client].request(&mut self.world, METHOD_REFRESH, &[shown]);
        let now = self.now();
        let Some(model) = self.model(client).filter(|_| known.is_some()) else {
            assert_eq!(answer.code, Some(437));
            return;
        };
        assert_eq!(answer.code, None);
        model.ticket = answer.raw(MOBILITY_TICKET);
        assert!(model.ticket.is_some() && model.ticket != known);
        for (_, expires) in &mut model.relayed {
            if *expires > now {
                *expires = now + Duration::from_secs(answer.lifetime());
            }
        }
    }

    fn run(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::Allocate { client, even, v6, dual, mobile } => {
                let mut attributes = vec![udp()];
                attributes.extend(even.map(|r| raw(ATTR_EVEN_PORT, &[r])));
                if v6 {
                    attributes.push(raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]));
                }
                if dual {
                    attributes.push(both());
                }
                if mobile {
                    attributes.push(raw(MOBILITY_TICKET, &[]));
                }
                self.allocate(client, &attributes, dual);
            }
            Step::Redeem { client } => {
                if let Some(token) = self.token.clone() {
                    self.allocate(client, &[udp(), raw(ATTR_RESERVATION_TOKEN, &token)], false);
                }
            }
            Step::Refresh { client, lifetime: asked, v4 } => {
                let of = |at: SocketAddr| v4.is_none_or(|v4| at.is_ipv4() == v4);
                let expected = match self.model(client) {
                    None => Some(437),
                    Some(model) => (!model.alive(now).any(of)).then_some(443),
                };
                let mut request = vec![lifetime(asked)];
                request.extend(v4.map(family));
                let answer =
                    self.clients[client].request(&mut self.world, METHOD_REFRESH, &request);
                assert_eq!(answer.code, expected);
                if let (None, Some(model)) = (answer.code, self.model(client)) {
                    let refreshed = |(at, expires): &mut (SocketAddr, Instant)| {
                        if *expires > now && of(*at) {
                            *expires = now + Duration::from_secs(answer.lifetime());
                        }
                    };
                    model.relayed.iter_mut().for_each(refreshed);
                }
            }
            Step::Permit { client, peers } => {
                let attributes: Vec<_> = peers.iter().map(|p| peer(PEERS[*p])).collect();
                let answer = self.clients[client].request(
                    &mut self.world,
                    METHOD_CREATE_PERMISSION,
                    &attributes,
                );
                let addresses = peers.iter().map(|p| PEERS[*p].parse::<SocketAddr>().unwrap());
                let refused = addresses
                    .filter(|at| self.is_closed(at.ip()) || !self.reaches(client, at.ip()))
                    .count();
                assert!(answer.code != Some(403) || refused > 0, "refused for nothing");
                match (answer.code, self.model(client)) {
                    (None, Some(model)) => {
                        assert_eq!(refused, 0, "a permission for somewhere else");
                        for p in &peers {
                            let ip = PEERS[*p].parse::<SocketAddr>().unwrap().ip();
                            model.permit(ip, now + Duration::from_secs(300));
                        }
                    }
                    (code, None) => assert_eq!(code, Some(437)),
                    (Some(code), Some(model)) => {
                        assert!([400, 403, 443, 508].contains(&code), "{code}");
                        assert!(code != 443 || model.alive(now).count() == 1);
                    }
                }
            }
            Step::Bind { client, number, peer } => {
                let answer = self.clients[client].bind(&mut self.world, number, PEERS[peer]);
                let to: SocketAddr = PEERS[peer].parse().unwrap();
                let may = !self.is_closed(to.ip()) && self.reachable(to);
                let may = may && self.reaches(client, to.ip());
                assert!(answer.code != Some(403) || !may, "refused for nothing");
                match (answer.code, self.model(client)) {
                    (None, Some(model)) => {
                        assert!(may, "a channel to somewhere else");
                        let other = model.channel(now, number);
                        assert!(
                            other.is_none_or(|bound| bound == to),
                            "a channel changed its peer"
                        );
                        let expires = now + Duration::from_secs(600);
                        model.channels.insert(number, (to, expires));
                        model.permit(to.ip(), expires);
                    }
                    (code, None) => assert_eq!(code, Some(437)),
                    (Some(code), Some(model)) => {
                        assert!([400, 403, 443, 508].contains(&code), "{code}");
                        assert!(code != 443 || model.alive(now).count() == 1);
                    }
                }
            }
            Step::Send { client, peer } => {
                let to: SocketAddr = PEERS[peer].parse().unwrap();
                let sent = self.clients[client].send(&mut self.world, to, b"up");
                let reachable = self.reachable(to);
                let may = self.model(client).is_some_and(|m| m.permits(now, to.ip())) && reachable;
                assert_eq!(sent, may.then(|| (to, b"up".to_vec())));
                self.check_hand_over(client, sent.map(|(to, _)| to));
            }
            Step::ChannelData { client, number } => {
                let sent = self.clients[client].channel_data(&mut self.world, number, b"up");
                let to = self.model(client).and_then(|model| {
                    let to = model.channel(now, number)?;
                    model.permits(now, to.ip()).then_some(to)
                });
                let to = to.filter(|to| self.reachable(*to));
                assert_eq!(sent, to.map(|to| (to, b"up".to_vec())));
                self.check_hand_over(client, to);
            }
            Step::PeerSends { client, peer } => {
                let from: SocketAddr = PEERS[peer].parse().unwrap();
                let Some(model) = self.model(client).cloned() else { return };
                let Some(relayed) = model.address_for(now, from.ip()) else { return };
                let got = self.world.peer_sends(from, relayed, b"five!");
                let may = model.permits(now, from.ip()) && self.reachable(from);
                assert_eq!(got.is_some(), may);
                let channel = model.channels.iter().find(|(_, c)| c.0 == from && c.1 > now);
                if let Some(bytes) = got {
                    assert_eq!(
                        bytes.len() % 4 == 0,
                        channel.is_none() || STREAMS.contains(&client)
                    );
                    let expected = channel.map_or(0, |(number, _)| number >> 8);
                    assert_eq!(u16::from(bytes[0]), expected);
                }
            }
            Step::Retransmit { client, dual } => {
                let attributes = if dual { vec![udp(), both()] } else { vec![udp()] };
                let request = self.clients[client].signed(METHOD_ALLOCATE, &attributes);
                let had = self.model(client).is_some();
                let exchange = |s: &mut Self, bytes: &[u8]| {
                    s.clients[client].exchange(&mut s.world, bytes).message.raw
                };
                let first = exchange(self, &request);
                let answer = Answer::read(&first);
                if answer.code.is_none() {
                    assert!(!had);
                    assert_eq!(exchange(self, &request), first);
                    check_addresses(&answer, dual, self.world.network.without);
                    self.models[client] = Some(Model::new(now, &answer));
                    self.last_allocate[client] = Some((request, first));
                }
            }
            Step::Garbage { client, bytes } => {
                let (verdict, _) = self.world.client_sends(self.clients[client].address, &bytes);
                assert!(!matches!(verdict, FromClient::Forward { .. }) || bytes[0] >= 0x40);
                self.world.answers(self.clients[client].address);
            }
            Step::Reconnect { client } if STREAMS.contains(&client) => {
                let address = self.clients[client].address;
                self.world.disconnect(address);
                self.world.connect(address);
                if self.model(client).is_some_and(|model| model.ticket.is_some()) {
                    self.come_back(client);
                } else {
                    // What a client had ends with its stream.
                    self.models[client] = None;
                }
            }
            Step::Reconnect { .. } => {}
            Step::Move { client, port } => {
                let before = self.clients[client].address;
                let address: SocketAddr = format!("203.0.113.{client}:{port}").parse().unwrap();
                let stays = self.model(client).is_some_and(|model| model.ticket.is_none());
                if before == address || stays {
                    return;
                }
                self.clients[client].address = address;
                let is_stream = STREAMS.contains(&client);
                if is_stream {
                    self.world.connect(address);
                }
                self.come_back(client);
                if is_stream {
                    self.world.disconnect(before);
                }
            }
            Step::Announce { client, peer } => {
                let (Some(of), user) = (self.call_of[client], client % USERS.len()) else { return };
                let ip = PEERS[peer].parse::<SocketAddr>().unwrap().ip();
                // The hub says nothing of a call after its end.
                if let Some(announced) = &mut self.announced[of] {
                    announced.insert((user, ip));
                    let user = UserId::new(USERS[user]).unwrap();
                    let others = USERS.iter().filter(|other| **other != user.as_str());
                    for to in others.map(|other| UserId::new(other).unwrap()) {
                        self.world.common.announce(call(of), &user, &to, &[ip]);
                    }
                }
            }
            Step::Machine { peers } => {
                let ips = peers.iter().map(|p| PEERS[*p].parse::<SocketAddr>().unwrap().ip());
                self.machine = ips.filter(|ip| !ip.is_loopback()).collect();
                let networks: Vec<_> = self
                    .machine
                    .iter()
                    .map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }))
                    .collect();
                self.world.machine_has(&networks.iter().map(String::as_str).collect::<Vec<_>>());
            }
            Step::EndCall { call: n } => {
                self.announced[n] = None;
                self.world.end_call(call(n));
                for client in 0..CLIENTS {
                    if self.call_of[client] == Some(n) {
                        self.models[client] = None;
                    }
                }
            }
            Step::Exhausted(exhausted) => self.world.network.exhausted = exhausted,
            Step::Without(without) => self.world.network.without = without,
            Step::Advance(secs) => self.world.advance(Duration::from_secs(secs)),
        }
        let now = self.now();
        let mut alive: Vec<_> = self.models.iter().flatten().flat_map(|m| m.alive(now)).collect();
        let mut sockets: Vec<_> = self.world.network.sockets.values().copied().collect();
        alive.sort_unstable();
        sockets.sort_unstable();
        assert_eq!(sockets, alive, "a socket for each address");
        let alive = alive.len();
        assert!(alive <= 5);
        self.world.assert_timers_fit();
        self.world.assert_channels_are_permitted();
        self.world.assert_mobility_fits();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_clients_do(
        signaled_peers: bool,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut simulation = Simulation::new(signaled_peers);
        for step in steps {
            simulation.run(step);
        }
        simulation.world.advance(Duration::from_secs(4000));
        (0..CALLS).for_each(|n| simulation.world.end_call(call(n)));
        for n in STREAMS {
            simulation.world.disconnect(simulation.clients[n].address);
        }
        simulation.world.assert_nothing_is_left();
    }
}
