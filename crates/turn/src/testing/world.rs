//! A server made of the production core, with virtual time.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::{CallId, ClientAddr, UserId},
};
use callbox_stun::{Packet, roomy};

use super::{Answer, Network, REALM};
use crate::{
    Common, Config, ConnectionId, Engine, FiveTuple, FromClient, FromPeer, HandOver, Metrics,
    Snapshot, Via,
    auth::{AccessTokenKey, TurnAuth},
    engine::invariants,
    shared::Shared,
};

/// The server and the network around it.
pub(crate) struct World {
    pub now: Now,
    pub common: Common,
    pub workers: Vec<Engine>,
    pub metrics: Vec<Arc<Metrics>>,
    pub secrets: TurnSecrets,
    pub network: Network,
    /// The way of the last datagram from one relayed address to another, and the bytes that its
    /// receiver got, if it got any.
    pub handed_over: Option<(HandOver, Option<Vec<u8>>)>,
    /// The client to which the last datagram of a peer was sent.
    pub delivered_to: Option<SocketAddr>,
    /// The clients that come over TCP, each with its worker and its stream.
    streams: HashMap<SocketAddr, (usize, FiveTuple)>,
}

/// The listeners of every world: a public address of each family, so that peers need no allowing.
pub(crate) const LISTENERS: [&str; 2] = ["8.8.4.4:3478", "[2606:4700::1]:3478"];

impl World {
    pub(crate) fn new(config: Config, workers: usize) -> Self {
        Self::with_access_tokens(config, workers, Vec::new())
    }

    /// Makes a world with access tokens that are sealed with these keys.
    pub(crate) fn with_access_tokens(
        config: Config,
        workers: usize,
        keys: Vec<AccessTokenKey>,
    ) -> Self {
        let now = Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
        let secrets = TurnSecrets::new(&[Secret::new("secret")]);
        let users = ["alice", "bob", "carol"].map(|u| (u.to_owned(), Secret::new("pass")));
        let auth =
            TurnAuth::new(REALM.into(), secrets.clone(), users.to_vec()).with_access_tokens(keys);
        let listeners = LISTENERS.map(|l| l.parse().unwrap()).to_vec();
        let common = Common::new(config, auth, listeners);
        let metrics: Vec<_> = (0..workers).map(|_| Arc::new(Metrics::default())).collect();
        let engine = |(n, m): (usize, &Arc<Metrics>)| {
            Engine::new(common.clone(), n as u16, m.clone(), [n as u8; 32])
        };
        let engines = metrics.iter().enumerate().map(engine).collect();
        Self {
            now,
            common,
            workers: engines,
            metrics,
            secrets,
            network: Network::default(),
            handed_over: None,
            delivered_to: None,
            streams: HashMap::new(),
        }
    }

    pub(crate) fn default() -> Self {
        Self::new(Config::default(), 1)
    }

    /// Returns the worker that a client's datagrams come to.
    pub(crate) fn worker_of(&self, client: SocketAddr) -> usize {
        usize::from(client.port()) % self.workers.len()
    }

    /// Returns the worker that takes in a client's message: one that has its allocation, or the one
    /// that its request names. A stream goes there.
    fn worker_for(&mut self, client: SocketAddr, bytes: &[u8]) -> usize {
        let (tuple, stream) = (self.tuple(client), self.streams.get(&client).copied());
        let own = stream.map_or(self.worker_of(client), |(worker, _)| worker);
        if self.workers[own].has_allocation(tuple) {
            return own;
        }
        let request = callbox_stun::Request::parse(bytes).ok();
        let named = request.and_then(|request| self.workers[own].worker_for(&request));
        let named = named.map(usize::from).filter(|worker| *worker < self.workers.len());
        match (stream, named) {
            (Some((_, FiveTuple { via: Via::Stream(id), .. })), Some(named)) if named != own => {
                self.workers[own].stream_closed(id);
                self.carry_out(own);
                self.open_stream(named, client);
                named
            }
            (Some(_), _) => own,
            (None, named) => {
                let has = self.workers.iter().position(|worker| worker.has_allocation(tuple));
                has.or(named).unwrap_or(own)
            }
        }
    }

    pub(crate) fn tuple(&self, client: SocketAddr) -> FiveTuple {
        let via = Via::Listener(if client.is_ipv4() { 0 } else { 1 });
        let datagrams = FiveTuple { via, client: ClientAddr(client) };
        self.streams.get(&client).map_or(datagrams, |(_, stream)| *stream)
    }

    /// Has a client come over TCP from now on.
    pub(crate) fn connect(&mut self, client: SocketAddr) {
        self.open_stream(self.worker_of(client), client);
    }

    fn open_stream(&mut self, worker: usize, client: SocketAddr) {
        let local = LISTENERS[if client.is_ipv4() { 0 } else { 1 }].parse::<SocketAddr>().unwrap();
        let tuple = self.workers[worker].stream_opened(ClientAddr(client), local.ip());
        self.streams.insert(client, (worker, tuple));
    }

    /// Ends its stream.
    pub(crate) fn disconnect(&mut self, client: SocketAddr) {
        let Some((worker, FiveTuple { via: Via::Stream(id), .. })) = self.streams.remove(&client)
        else {
            panic!("{client} has no stream");
        };
        self.workers[worker].stream_closed(id);
        self.carry_out(worker);
    }

    /// Hands a datagram of a client to its worker.
    pub(crate) fn client_sends(
        &mut self,
        client: SocketAddr,
        bytes: &[u8],
    ) -> (FromClient, Vec<u8>) {
        let worker = self.worker_for(client, bytes);
        let (mut buffer, range) = roomy(bytes);
        let mut packet = Packet::new(&mut buffer, range);
        let tuple = self.tuple(client);
        let verdict = self.workers[worker].handle_client(self.now, tuple, &mut packet);
        let bytes = packet.bytes().to_vec();
        if let FromClient::HandOver(way) = verdict {
            let owner = &mut self.workers[usize::from(way.owner.worker)];
            let forwarded = matches!(
                owner.handle_relayed(self.now, way, &mut packet),
                FromPeer::Forward { .. }
            );
            self.handed_over = Some((way, forwarded.then(|| packet.bytes().to_vec())));
        }
        self.carry_out(worker);
        (verdict, bytes)
    }

    /// Has a peer connect to a relayed address.
    pub(crate) fn peer_connects(
        &mut self,
        peer: &str,
        relayed: SocketAddr,
    ) -> Option<ConnectionId> {
        let (&(worker, id), _) = self.network.sockets.iter().find(|(_, at)| **at == relayed)?;
        let made = self.workers[worker].peer_connected(self.now, id, peer.parse().unwrap());
        self.carry_out(worker);
        made
    }

    /// Says how the connection went that was to be made last.
    pub(crate) fn connected(&mut self, worker: usize, made: bool) {
        let (id, ..) = *self.network.connecting.last().expect("one is being made");
        self.workers[worker].connected(self.now, id, made);
        self.carry_out(worker);
    }

    /// Hands a datagram of a peer to the relay socket at `relayed`. Returns the message for the
    /// client.
    pub(crate) fn peer_sends(
        &mut self,
        peer: SocketAddr,
        relayed: SocketAddr,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let (&(worker, id), _) = self.network.sockets.iter().find(|(_, at)| **at == relayed)?;
        let (mut buffer, range) = roomy(bytes);
        let mut packet = Packet::new(&mut buffer, range);
        self.delivered_to = None;
        match self.workers[worker].handle_peer(self.now, id, peer, &mut packet) {
            FromPeer::Forward { to } => {
                self.delivered_to = Some(to.client.0);
                Some(packet.bytes().to_vec())
            }
            FromPeer::Dropped(_) => None,
        }
    }

    /// Carries out the outputs of a worker.
    pub(crate) fn carry_out(&mut self, worker: usize) {
        self.network.carry_out(self.now, worker, &mut self.workers[worker]);
    }

    /// Returns the answers that were sent to a client since this was last asked.
    pub(crate) fn answers(&mut self, client: SocketAddr) -> Vec<Answer> {
        self.network.answers(client)
    }

    /// Lets time pass, with every timer on the way going off when it is due.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            let next = self.workers.iter().filter_map(Engine::next_timeout).min();
            let Some(next) = next.filter(|next| *next <= end.instant) else { break };
            self.now = self.now + next.saturating_duration_since(self.now.instant);
            for worker in 0..self.workers.len() {
                self.workers[worker].handle_timeout(self.now);
                self.carry_out(worker);
            }
        }
        self.now = end;
    }

    pub(crate) fn end_call(&mut self, call: CallId) {
        // As the relay does: without allocations of the call or its users, no worker hears of its
        // end.
        let sides = self.common.end_call(self.now, call, Duration::from_secs(3600));
        let Some(sides) = sides else { return };
        for worker in 0..self.workers.len() {
            self.workers[worker].end_call(call, &sides);
            self.carry_out(worker);
        }
    }

    pub(crate) fn revoke_user(&mut self, call: CallId, user: &str) {
        let user = UserId::new(user).unwrap();
        let sides = self.common.revoke_user(self.now, call, &user, Duration::from_secs(3600));
        for worker in 0..self.workers.len() {
            self.workers[worker].revoke_user(call, user.as_str(), &sides);
            self.carry_out(worker);
        }
    }

    /// Kicks a user as an operator does. Returns the number of allocations that were closed.
    pub(crate) fn kick(&mut self, user: &str, calls: Option<&[CallId]>, ban: Duration) -> usize {
        let (name, ttl) = (UserId::new(user).unwrap(), Duration::from_secs(3600));
        let ban = calls.is_none().then_some(ban);
        // Without allocations of the user no worker hears of it.
        if !self.common.kick(self.now, &name, ttl, ban) {
            return 0;
        }
        let workers = 0..self.workers.len();
        let closed = workers.map(|worker| {
            let closed = self.workers[worker].kick(user, calls);
            self.carry_out(worker);
            closed
        });
        closed.sum()
    }

    pub(crate) fn lift_kick(&mut self, user: &str) {
        self.common.lift_kick(&UserId::new(user).unwrap());
    }

    /// Gives the machine these networks from now on, besides the addresses that it listens on.
    pub(crate) fn machine_has(&mut self, networks: &[&str]) {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        if !self.common.set_machine_addresses(networks) {
            return;
        }
        for worker in 0..self.workers.len() {
            self.workers[worker].addresses_changed();
            self.carry_out(worker);
        }
    }

    pub(crate) fn readmit_user(&mut self, call: CallId, user: &str) {
        self.common.readmit_user(call, &UserId::new(user).unwrap());
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.common.shared
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.metrics.iter().map(|m| &**m))
    }

    /// Returns the number of connections to peers of a worker.
    pub(crate) fn connections(&self, worker: usize) -> usize {
        invariants::connections(&self.workers[worker])
    }

    /// Fails unless there is exactly one timer for each thing that expires.
    pub(crate) fn assert_timers_fit(&self) {
        self.workers.iter().for_each(invariants::assert_timers_fit);
    }

    /// Fails unless each channel has a permission for its peer that lasts as long as the channel,
    /// and nothing is left that was due.
    pub(crate) fn assert_channels_are_permitted(&self) {
        for engine in &self.workers {
            invariants::assert_channels_are_permitted(engine, self.now.instant);
        }
    }

    /// Fails unless allocations lead to where their clients are.
    pub(crate) fn assert_mobility_fits(&self) {
        self.workers.iter().for_each(invariants::assert_mobility_fits);
    }

    /// Fails if anything is left of any allocation.
    pub(crate) fn assert_nothing_is_left(&self) {
        self.workers.iter().for_each(invariants::assert_nothing_is_left);
        let streams: usize = self.workers.iter().map(invariants::streams).sum();
        assert_eq!(streams, self.streams.len());
        self.network.assert_nothing_is_left();
        assert!(self.common.relayed.is_empty());
        assert!(self.common.announcements.is_empty());
        let ports = self.common.config.relay_ports.clone().count();
        assert!(self.shared().is_idle(ports), "{:?}", self.shared());
        assert_eq!(self.snapshot().allocations, 0);
    }
}
