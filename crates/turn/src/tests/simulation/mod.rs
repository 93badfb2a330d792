//! Random clients against the production core, with a model of what must be: whatever they do, in
//! whatever order, data passes exactly where a permission or a channel lets it, and when they are
//! gone nothing is left of them.

mod data;
mod model;
mod moves;
mod requests;
mod steps;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use callbox_base::ids::{CallId, UserId};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use self::{model::Model, steps::*};
use crate::{testing::*, *};

struct Simulation {
    world: World,
    clients: Vec<Client>,
    call_of: Vec<Option<usize>>,
    models: Vec<Option<Model>>,
    last_allocate: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    token: Option<Vec<u8>>,
    signaled_peers: bool,
    /// The addresses that the machine has besides the listeners' ones.
    machine: HashSet<IpAddr>,
    /// The addresses that were announced in each call that is not over, each with its user.
    announced: [Option<HashSet<(usize, IpAddr)>>; CALLS],
}

fn call(n: usize) -> CallId {
    CallId::generate(n as u64, &mut StdRng::seed_from_u64(n as u64))
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

    /// Returns true if an address has no relayed ones and is the machine's.
    fn is_closed(&self, ip: IpAddr) -> bool {
        let relay = LISTENERS.iter().any(|l| l.parse::<SocketAddr>().unwrap().ip() == ip);
        !relay && (ip.is_loopback() || self.machine.contains(&ip))
    }

    /// Returns true if a peer is none of our own addresses, or one that is relayed now.
    fn reachable(&self, peer: SocketAddr) -> bool {
        let own = LISTENERS.iter().any(|l| l.parse::<SocketAddr>().unwrap().ip() == peer.ip())
            || self.machine.contains(&peer.ip());
        !own || self.world.network.sockets.values().any(|open| *open == peer)
    }

    /// Returns true if a client's call says nothing against an address: the call's other side has
    /// announced it, or it is one of the server's own.
    fn reaches(&self, client: usize, ip: IpAddr) -> bool {
        if !self.signaled_peers {
            return true;
        }
        // With credentials that name no call, the addresses of all calls are reached, since each
        // user is in all of them.
        let calls = self.call_of[client].map_or(0..CALLS, |call| call..call + 1);
        let known = self.announced[calls].iter().flatten().flatten();
        let own = LISTENERS.iter().any(|l| l.parse::<SocketAddr>().unwrap().ip() == ip);
        own || known.into_iter().any(|(by, at)| *by != client % USERS.len() && *at == ip)
    }

    fn now(&self) -> Instant {
        self.world.now.instant
    }

    /// Returns the model of a client's allocation, if it is still alive.
    fn model(&mut self, client: usize) -> Option<&mut Model> {
        let now = self.now();
        self.models[client].as_mut().filter(|model| model.alive(now).next().is_some())
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Allocate { client, even, v6, dual, mobile } => {
                requests::allocate(self, client, even, v6, dual, mobile)
            }
            Step::Redeem { client } => requests::redeem(self, client),
            Step::Refresh { client, lifetime: asked, v4 } => {
                requests::refresh(self, client, asked, v4)
            }
            Step::Permit { client, peers } => requests::permit(self, client, peers),
            Step::Bind { client, number, peer } => requests::bind(self, client, number, peer),
            Step::Send { client, peer } => data::send(self, client, peer),
            Step::ChannelData { client, number } => data::channel_data(self, client, number),
            Step::PeerSends { client, peer } => data::peer_sends(self, client, peer),
            Step::Retransmit { client, dual } => requests::retransmit(self, client, dual),
            Step::Garbage { client, bytes } => {
                let (verdict, _) = self.world.client_sends(self.clients[client].address, &bytes);
                assert!(!matches!(verdict, FromClient::Forward { .. }) || bytes[0] >= 0x40);
                self.world.answers(self.clients[client].address);
            }
            Step::Reconnect { client } if STREAMS.contains(&client) => {
                moves::reconnect(self, client)
            }
            Step::Reconnect { .. } => {}
            Step::Move { client, port } => moves::relocate(self, client, port),
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
            Step::EndCall { call } => self.end_call(call),
            Step::Exhausted(exhausted) => self.world.network.exhausted = exhausted,
            Step::Without(without) => self.world.network.without = without,
            Step::Advance(secs) => self.world.advance(Duration::from_secs(secs)),
        }
        self.check();
    }

    /// Ends a call. Its allocations end with it, and permissions that were granted by what was
    /// announced in it alone pass nothing any more.
    fn end_call(&mut self, n: usize) {
        let announced = self.announced[n].take().unwrap_or_default();
        self.world.end_call(call(n));
        for client in 0..CLIENTS {
            if self.call_of[client] == Some(n) {
                self.models[client] = None;
            } else if self.call_of[client].is_none() && !announced.is_empty() {
                let Some(model) = &self.models[client] else { continue };
                let permitted = model.permissions.keys().copied();
                let unannounced = permitted.filter(|ip| !self.reaches(client, *ip)).collect();
                self.models[client].as_mut().expect("it is there").unannounced = unannounced;
            }
        }
    }

    /// Fails unless the sockets are those of the model, and the invariants hold.
    fn check(&self) {
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
    fn random_actions_of_clients_keep_the_invariants(
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
