//! A server made of the production core, with virtual time and a network in memory, and clients
//! that speak to it with the `stun` crate's messages.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ::stun::{
    attributes::*,
    error_code::ErrorCodeAttribute,
    integrity::MessageIntegrity,
    message::{Getter, Message, MessageType, Method as WireMethod, Setter, *},
    textattrs::TextAttribute,
    xoraddr::XorMappedAddress,
};
use ::turn::proto::{
    channum::ChannelNumber as WireChannel, lifetime::Lifetime, peeraddr::PeerAddress,
    relayaddr::RelayedAddress, reqtrans::RequestedTransport,
};
use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::{CallId, ClientAddr, UserId},
};
use callbox_stun::{
    ChannelData, HEADROOM, Packet, PasswordAlgorithm, roomy,
    testing::{is_signed_sha256, sha256_of, sign_sha256},
};

use super::{engine::invariants, shared::Shared, *};
use crate::auth::{TurnAuth, WrongCredentials};

pub const REALM: &str = "test";

/// The server and the network around it.
pub struct World {
    pub now: Now,
    pub common: Common,
    pub workers: Vec<Engine>,
    pub metrics: Vec<Arc<Metrics>>,
    pub secrets: TurnSecrets,
    /// The relay sockets that are open, by worker.
    pub sockets: BTreeMap<(usize, AllocationId), SocketAddr>,
    /// Allocations of calls that were opened and not yet closed.
    pub open_for_calls: HashMap<CallId, i64>,
    /// Ports that something else on the machine holds.
    pub busy: HashSet<u16>,
    /// Whether the system has run out of sockets.
    pub exhausted: bool,
    /// The family of which it gives none, if there is one: `true` for IPv4.
    pub without: Option<bool>,
    /// What the last datagram that went from one relayed address to another came to.
    pub handed_over: Option<(HandOver, Option<Vec<u8>>)>,
    /// Connections that are being made: from which relayed address, and to which peer.
    pub connecting: Vec<(ConnectionId, SocketAddr, SocketAddr)>,
    /// Streams and connections that are one.
    pub spliced: Vec<(StreamId, ConnectionId)>,
    /// Connections that were closed.
    pub closed: Vec<ConnectionId>,
    /// The allocations that are gone.
    pub ended: Vec<Ended>,
    /// The clients whose credentials were refused, each with the name that it sent and the reason.
    pub refused: Vec<(SocketAddr, Option<String>, WrongCredentials)>,
    /// Where the last datagram of a peer was sent to.
    pub delivered_to: Option<SocketAddr>,
    /// The clients that come over TCP, each with its worker and its stream.
    streams: HashMap<SocketAddr, (usize, FiveTuple)>,
    /// What was sent since it was last looked at.
    sent: Vec<(FiveTuple, Vec<u8>)>,
}

/// The listeners of every world: a public address of each family, so that peers need no allowing.
pub const LISTENERS: [&str; 2] = ["8.8.4.4:3478", "[2606:4700::1]:3478"];

impl World {
    pub fn new(config: Config, workers: usize) -> Self {
        Self::with_access_tokens(config, workers, Vec::new())
    }

    /// The same with access tokens that are sealed with these keys.
    pub fn with_access_tokens(
        config: Config,
        workers: usize,
        keys: Vec<crate::auth::AccessTokenKey>,
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
            sockets: BTreeMap::new(),
            open_for_calls: HashMap::new(),
            busy: HashSet::new(),
            exhausted: false,
            without: None,
            handed_over: None,
            ended: Vec::new(),
            refused: Vec::new(),
            delivered_to: None,
            sent: Vec::new(),
            streams: HashMap::new(),
            connecting: Vec::new(),
            spliced: Vec::new(),
            closed: Vec::new(),
        }
    }

    pub fn default() -> Self {
        Self::new(Config::default(), 1)
    }

    /// Which worker a client's datagrams come to.
    pub fn worker_of(&self, client: SocketAddr) -> usize {
        usize::from(client.port()) % self.workers.len()
    }

    /// Which worker takes in what a client sends: one that has its allocation, or the one that its
    /// request names. A stream goes there.
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

    pub fn tuple(&self, client: SocketAddr) -> FiveTuple {
        let via = Via::Listener(if client.is_ipv4() { 0 } else { 1 });
        let datagrams = FiveTuple { via, client: ClientAddr(client) };
        self.streams.get(&client).map_or(datagrams, |(_, stream)| *stream)
    }

    /// A client that comes over TCP from now on.
    pub fn connect(&mut self, client: SocketAddr) {
        self.open_stream(self.worker_of(client), client);
    }

    fn open_stream(&mut self, worker: usize, client: SocketAddr) {
        let local = LISTENERS[if client.is_ipv4() { 0 } else { 1 }].parse::<SocketAddr>().unwrap();
        let tuple = self.workers[worker].stream_opened(ClientAddr(client), local.ip());
        self.streams.insert(client, (worker, tuple));
    }

    /// Its stream is gone.
    pub fn disconnect(&mut self, client: SocketAddr) {
        let Some((worker, FiveTuple { via: Via::Stream(id), .. })) = self.streams.remove(&client)
        else {
            panic!("{client} has no stream");
        };
        self.workers[worker].stream_closed(id);
        self.carry_out(worker);
    }

    /// Hands a datagram of a client to its worker.
    pub fn client_sends(&mut self, client: SocketAddr, bytes: &[u8]) -> (FromClient, Vec<u8>) {
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

    /// A peer connects to a relayed address.
    pub fn peer_connects(&mut self, peer: &str, relayed: SocketAddr) -> Option<ConnectionId> {
        let (&(worker, id), _) = self.sockets.iter().find(|(_, at)| **at == relayed)?;
        let made = self.workers[worker].peer_connected(self.now, id, peer.parse().unwrap());
        self.carry_out(worker);
        made
    }

    /// Says how the connection went that was to be made last.
    pub fn connected(&mut self, worker: usize, made: bool) {
        let (id, ..) = *self.connecting.last().expect("one is being made");
        self.workers[worker].connected(self.now, id, made);
        self.carry_out(worker);
    }

    /// Hands a datagram of a peer to the relay socket at `relayed`. What the client gets.
    pub fn peer_sends(
        &mut self,
        peer: SocketAddr,
        relayed: SocketAddr,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let (&(worker, id), _) = self.sockets.iter().find(|(_, at)| **at == relayed)?;
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

    pub fn carry_out(&mut self, worker: usize) {
        while let Some(output) = self.workers[worker].poll_output() {
            match output {
                Output::Transmit { to, bytes } => self.sent.push((to, bytes)),
                Output::OpenRelay { allocation, address, .. }
                | Output::ListenRelay { allocation, address } => {
                    let taken = self.sockets.values().any(|a| *a == address);
                    assert!(!taken, "{address} was given out twice");
                    let without = self.without == Some(address.is_ipv4());
                    let result = if self.exhausted || without {
                        Err(OpenError::System)
                    } else if self.busy.contains(&address.port()) {
                        Err(OpenError::AddressInUse)
                    } else {
                        let before = self.sockets.insert((worker, allocation), address);
                        assert_eq!(before, None, "{allocation:?} is open already");
                        Ok(())
                    };
                    self.workers[worker].relay_opened(self.now, allocation, result);
                }
                Output::CloseRelay { allocation } => {
                    let closed = self.sockets.remove(&(worker, allocation));
                    assert!(closed.is_some(), "{allocation:?} was not open");
                }
                Output::Connect { connection, from, to, .. } => {
                    let from = self.sockets.values().find(|open| **open == from).copied();
                    self.connecting.push((connection, from.expect("it is open"), to));
                }
                Output::Splice { stream, connection } => self.spliced.push((stream, connection)),
                Output::CloseConnection { connection, .. } => {
                    self.connecting.retain(|(other, ..)| *other != connection);
                    self.spliced.retain(|(_, other)| *other != connection);
                    self.closed.push(connection);
                }
                Output::Ended(ended) => self.ended.push(*ended),
                Output::WrongCredentials { client, user, reason } => {
                    self.refused.push((client.0, user.map(String::from), reason));
                }
                Output::Forget { .. } | Output::ReleaseMemory => {}
                Output::Event(Event::AllocationOpened { call, .. }) => {
                    *self.open_for_calls.entry(call).or_default() += 1;
                }
                Output::Event(Event::AllocationClosed { call, .. }) => {
                    let open = self.open_for_calls.entry(call).or_default();
                    *open -= 1;
                    assert!(*open >= 0);
                }
            }
        }
    }

    /// The answers that were sent to a client since this was last asked.
    pub fn answers(&mut self, client: SocketAddr) -> Vec<Answer> {
        let (ours, others) = self.sent.drain(..).partition(|(to, _)| to.client.0 == client);
        self.sent = others;
        let ours: Vec<_> = ours;
        ours.into_iter().map(|(_, bytes)| Answer::read(&bytes)).collect()
    }

    /// Lets time pass, with every timer on the way going off when it is due.
    pub fn advance(&mut self, by: Duration) {
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

    pub fn end_call(&mut self, call: CallId) {
        // As the relay does: without allocations of the call or its users, no worker hears of its end.
        let sides = self.common.end_call(self.now, call, Duration::from_secs(3600));
        let Some(sides) = sides else { return };
        for worker in 0..self.workers.len() {
            self.workers[worker].end_call(call, &sides);
            self.carry_out(worker);
        }
    }

    pub fn revoke_user(&mut self, call: CallId, user: &str) {
        let user = UserId::new(user).unwrap();
        let sides = self.common.revoke_user(self.now, call, &user, Duration::from_secs(3600));
        for worker in 0..self.workers.len() {
            self.workers[worker].revoke_user(call, user.as_str(), &sides);
            self.carry_out(worker);
        }
    }

    /// As an operator does: gives how many allocations were closed.
    pub fn kick(&mut self, user: &str, calls: Option<&[CallId]>, ban: Duration) -> usize {
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

    pub fn lift_kick(&mut self, user: &str) {
        self.common.lift_kick(&UserId::new(user).unwrap());
    }

    /// The machine has these networks from now on, besides what it listens on.
    pub fn machine_has(&mut self, networks: &[&str]) {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        if !self.common.set_machine_addresses(networks) {
            return;
        }
        for worker in 0..self.workers.len() {
            self.workers[worker].addresses_changed();
            self.carry_out(worker);
        }
    }

    pub fn readmit_user(&mut self, call: CallId, user: &str) {
        self.common.readmit_user(call, &UserId::new(user).unwrap());
    }

    pub fn shared(&self) -> &Shared {
        &self.common.shared
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.metrics.iter().map(|m| &**m))
    }

    /// Returns the number of connections to peers of a worker.
    pub fn connections(&self, worker: usize) -> usize {
        invariants::connections(&self.workers[worker])
    }

    /// Fails unless there is exactly one timer for each thing that expires.
    pub fn assert_timers_fit(&self) {
        self.workers.iter().for_each(invariants::assert_timers_fit);
    }

    /// Fails unless each channel has a permission for its peer that lasts as long as the channel, and
    /// nothing is left that was due.
    pub fn assert_channels_are_permitted(&self) {
        for engine in &self.workers {
            invariants::assert_channels_are_permitted(engine, self.now.instant);
        }
    }

    /// Fails unless allocations lead to where their clients are.
    pub fn assert_mobility_fits(&self) {
        self.workers.iter().for_each(invariants::assert_mobility_fits);
    }

    /// Fails if anything is left of any allocation.
    pub fn assert_nothing_is_left(&self) {
        self.workers.iter().for_each(invariants::assert_nothing_is_left);
        let streams: usize = self.workers.iter().map(invariants::streams).sum();
        assert_eq!(streams, self.streams.len());
        assert!(self.sockets.is_empty());
        assert!(self.common.relayed.is_empty());
        assert!(self.common.announcements.is_empty());
        assert!(self.open_for_calls.values().all(|open| *open == 0));
        let ports = self.common.config.relay_ports.clone().count();
        assert!(self.shared().is_idle(ports), "{:?}", self.shared());
        assert_eq!(self.snapshot().allocations, 0);
    }
}

/// A response, taken apart.
#[derive(Debug, Clone)]
pub struct Answer {
    pub message: Message,
    pub code: Option<u16>,
}

impl Answer {
    pub fn read(bytes: &[u8]) -> Self {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).expect("the server answers with STUN");
        let code = (message.typ.class == CLASS_ERROR_RESPONSE).then(|| {
            let mut code = ErrorCodeAttribute::default();
            code.get_from(&message).expect("an error response has a code");
            code.code.0
        });
        Self { message, code }
    }

    pub fn text(&self, typ: AttrType) -> Option<String> {
        TextAttribute::get_from_as(&self.message, typ).ok().map(|t| t.text)
    }

    pub fn relayed(&self) -> SocketAddr {
        let mut address = RelayedAddress::default();
        address.get_from(&self.message).expect("a relayed address");
        SocketAddr::new(address.ip, address.port)
    }

    /// Every relayed address, in order.
    pub fn all_relayed(&self) -> Vec<SocketAddr> {
        let attributes = self.message.attributes.0.iter();
        let relayed = attributes.filter(|a| a.typ == ATTR_XOR_RELAYED_ADDRESS);
        relayed
            .map(|attribute| {
                let mut alone = Message::new();
                alone.transaction_id = self.message.transaction_id;
                alone.add(attribute.typ, &attribute.value);
                let mut address = RelayedAddress::default();
                address.get_from(&alone).expect("a relayed address");
                SocketAddr::new(address.ip, address.port)
            })
            .collect()
    }

    /// ADDRESS-ERROR-CODE: of which family (`true` for IPv4) there is no address, and why.
    pub fn address_error(&self) -> Option<(bool, u16)> {
        let value = self.raw(AttrType(0x8001))?;
        let [family @ 1..=2, 0, class, number, ..] = value[..] else {
            panic!("ADDRESS-ERROR-CODE is {value:x?}");
        };
        Some((family == 1, u16::from(class) * 100 + u16::from(number)))
    }

    pub fn mapped(&self) -> SocketAddr {
        let mut address = XorMappedAddress::default();
        address.get_from(&self.message).expect("a mapped address");
        SocketAddr::new(address.ip, address.port)
    }

    pub fn lifetime(&self) -> u64 {
        let mut lifetime = Lifetime::default();
        lifetime.get_from(&self.message).expect("a lifetime");
        lifetime.0.as_secs()
    }

    pub fn raw(&self, typ: AttrType) -> Option<Vec<u8>> {
        self.message.get(typ).ok()
    }
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// As RFC 5389 has it: an MD5 key and MESSAGE-INTEGRITY.
    Old,
    /// As RFC 8489 has it: what was offered, the choice, and MESSAGE-INTEGRITY-SHA256.
    New { algorithm: PasswordAlgorithm, userhash: bool },
}

/// The proof that a new client chooses.
pub const NEW: Proof = Proof::New { algorithm: PasswordAlgorithm::Sha256, userhash: false };

/// A TURN client.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub username: String,
    pub password: String,
    pub nonce: String,
    pub proof: Proof,
    transactions: u64,
}

pub fn udp() -> Box<dyn Setter> {
    Box::new(RequestedTransport { protocol: ::turn::proto::PROTO_UDP })
}

pub fn raw(typ: AttrType, value: &[u8]) -> Box<dyn Setter> {
    Box::new(RawAttribute { typ, length: value.len() as u16, value: value.to_vec() })
}

/// ADDITIONAL-ADDRESS-FAMILY: IPv6.
pub fn both() -> Box<dyn Setter> {
    raw(AttrType(0x8000), &[2, 0, 0, 0])
}

/// MOBILITY-TICKET.
pub const MOBILITY_TICKET: AttrType = AttrType(0x8030);

/// REQUESTED-ADDRESS-FAMILY.
pub fn family(v4: bool) -> Box<dyn Setter> {
    raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[if v4 { 1 } else { 2 }, 0, 0, 0])
}

pub fn peer(address: &str) -> Box<dyn Setter> {
    peer_at(address.parse().unwrap())
}

pub fn peer_at(address: SocketAddr) -> Box<dyn Setter> {
    Box::new(PeerAddress { ip: address.ip(), port: address.port() })
}

pub fn channel(number: u16) -> Box<dyn Setter> {
    Box::new(WireChannel(number))
}

pub fn lifetime(secs: u64) -> Box<dyn Setter> {
    Box::new(Lifetime(Duration::from_secs(secs)))
}

pub fn data(bytes: &[u8]) -> Box<dyn Setter> {
    raw(ATTR_DATA, bytes)
}

impl Client {
    pub fn new(address: &str, user: &str) -> Self {
        Self {
            address: address.parse().unwrap(),
            username: user.into(),
            password: "pass".into(),
            nonce: String::new(),
            proof: Proof::Old,
            transactions: 0,
        }
    }

    /// The same client with another way to prove who it is.
    pub fn with(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// A client with minted credentials.
    pub fn minted(
        world: &World,
        address: &str,
        user: &str,
        call: Option<CallId>,
        ttl: u64,
    ) -> Self {
        let user = UserId::new(user).unwrap();
        let ttl = Duration::from_secs(ttl);
        let minted = world.secrets.mint(world.now, ttl, &user, call, &[]).unwrap();
        Self { username: minted.username, password: minted.password, ..Self::new(address, "x") }
    }

    /// An unsigned message.
    pub fn plain(
        &mut self,
        method: WireMethod,
        class: MessageClass,
        attributes: &[Box<dyn Setter>],
    ) -> Message {
        self.transactions += 1;
        let mut message = Message::new();
        message.typ = MessageType { method, class };
        message.transaction_id.0[4..].copy_from_slice(&self.transactions.to_be_bytes());
        message.transaction_id.0[..2].copy_from_slice(&self.address.port().to_be_bytes());
        message.write_header();
        for attribute in attributes {
            attribute.add_to(&mut message).unwrap();
        }
        message
    }

    /// A request that lacks but its integrity.
    pub fn unsigned(&mut self, method: WireMethod, attributes: &[Box<dyn Setter>]) -> Message {
        let mut message = self.plain(method, CLASS_REQUEST, attributes);
        match self.proof {
            Proof::New { userhash: true, .. } => {
                let hash = sha256_of(&[&self.username, REALM]);
                message.add(ATTR_USER_HASH, &hash);
            }
            _ => message.add(ATTR_USERNAME, self.username.as_bytes()),
        }
        message.add(ATTR_REALM, REALM.as_bytes());
        message.add(ATTR_NONCE, self.nonce.as_bytes());
        if let Proof::New { algorithm, .. } = self.proof {
            message.add(ATTR_PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFER);
            let number = if algorithm == PasswordAlgorithm::Md5 { 1 } else { 2 };
            message.add(ATTR_PASSWORD_ALGORITHM, &[0, number, 0, 0]);
        }
        message
    }

    /// A signed request.
    pub fn signed(&mut self, method: WireMethod, attributes: &[Box<dyn Setter>]) -> Vec<u8> {
        let mut message = self.unsigned(method, attributes);
        match self.proof {
            Proof::Old => self.md5_key().add_to(&mut message).unwrap(),
            Proof::New { .. } => sign_sha256(&mut message, &self.key(), 32),
        }
        message.raw
    }

    fn md5_key(&self) -> MessageIntegrity {
        let (user, password) = (self.username.clone(), self.password.clone());
        MessageIntegrity::new_long_term_integrity(user, REALM.into(), password)
    }

    /// The key that the client has.
    pub fn key(&self) -> Vec<u8> {
        match self.proof {
            Proof::New { algorithm: PasswordAlgorithm::Sha256, .. } => {
                sha256_of(&[&self.username, REALM, &self.password])
            }
            _ => self.md5_key().0,
        }
    }

    /// Whether an answer is signed with the client's key, and in the one attribute that it expects
    /// (RFC 8489 §9.2.4).
    pub fn accepts(&self, answer: &Answer) -> bool {
        let mut message = answer.message.clone();
        let sha1 = MessageIntegrity(self.key()).check(&mut message).is_ok();
        let sha256 = is_signed_sha256(&message.raw, &self.key());
        let has = |typ| answer.raw(typ).is_some();
        let (old, new) = (has(ATTR_MESSAGE_INTEGRITY), has(ATTR_MESSAGE_INTEGRITY_SHA256));
        match self.proof {
            Proof::Old => sha1 && old && !new,
            Proof::New { .. } => sha256 && new && !old,
        }
    }

    /// Sends bytes, and gives the one answer to them.
    pub fn exchange(&mut self, world: &mut World, bytes: &[u8]) -> Answer {
        world.client_sends(self.address, bytes);
        let mut answers = world.answers(self.address);
        assert_eq!(answers.len(), 1, "one answer to a request");
        answers.remove(0)
    }

    /// Makes a signed request; with a fresh nonce if the one at hand is stale. A success must be
    /// signed by the server.
    pub fn request(
        &mut self,
        world: &mut World,
        method: WireMethod,
        attributes: &[Box<dyn Setter>],
    ) -> Answer {
        for _ in 0..2 {
            let bytes = self.signed(method, attributes);
            let answer = self.exchange(world, &bytes);
            if answer.code == Some(438) {
                self.nonce = answer.text(ATTR_NONCE).expect("a fresh nonce");
                continue;
            }
            if answer.code.is_none() {
                assert!(self.accepts(&answer), "the server signs a success");
            }
            return answer;
        }
        panic!("the server's own nonce is stale");
    }

    pub fn allocate(&mut self, world: &mut World) -> SocketAddr {
        let answer = self.request(world, METHOD_ALLOCATE, &[udp()]);
        assert_eq!(answer.code, None);
        answer.relayed()
    }

    pub fn permit(&mut self, world: &mut World, ip: &str) -> Answer {
        let ip: IpAddr = ip.parse().unwrap();
        self.request(world, METHOD_CREATE_PERMISSION, &[peer_at(SocketAddr::new(ip, 9))])
    }

    pub fn bind(&mut self, world: &mut World, number: u16, to: &str) -> Answer {
        self.request(world, METHOD_CHANNEL_BIND, &[channel(number), peer(to)])
    }

    /// A Send indication. Where it went and what arrived there.
    pub fn send(
        &mut self,
        world: &mut World,
        to: SocketAddr,
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let message = self.plain(METHOD_SEND, CLASS_INDICATION, &[peer_at(to), data(payload)]);
        Self::forwarded(world.client_sends(self.address, &message.raw))
    }

    /// A ChannelData message. Where it went and what arrived there.
    pub fn channel_data(
        &mut self,
        world: &mut World,
        number: u16,
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let number = callbox_stun::ChannelNumber::new(number)?;
        let (mut buffer, range) = roomy(payload);
        let mut packet = Packet::new(&mut buffer, range);
        ChannelData::wrap(&mut packet, number);
        assert!(packet.bytes().len() <= payload.len() + HEADROOM);
        Self::forwarded(world.client_sends(self.address, packet.bytes()))
    }

    fn forwarded((verdict, bytes): (FromClient, Vec<u8>)) -> Option<(SocketAddr, Vec<u8>)> {
        match verdict {
            FromClient::Forward { to, .. } => Some((to, bytes)),
            FromClient::HandOver(way) => Some((way.to, bytes)),
            _ => None,
        }
    }
}
