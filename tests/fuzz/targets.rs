//! The fuzz targets: each takes any bytes, and panics if an invariant is violated. Shared by the
//! test that runs everywhere (`tests/it/fuzzing.rs`) and by the programs for libFuzzer (`fuzz/`).

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use callbox::http::socketio::{
    engine::{self, Revision},
    packet,
};
use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::{ClientAddr, DeviceId, SessionId, UserId},
};
use callbox_signaling::{
    self as signaling, Hub, Input, Payload, RequestId, Resume,
    jwt::{Grants, Identity, TokenId},
};
use callbox_stun::{ChannelData, Frame, HEADROOM, Kind, MAX_FRAME, Packet, Request};
use callbox_turn::{
    self as turn, AllocationId, Common, Engine, FiveTuple, FromClient, FromPeer, Metrics, Output,
    Snapshot, StreamId, Via, auth::TurnAuth,
};
use stun::{
    attributes::{
        ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, AttrType, RawAttribute,
    },
    integrity::MessageIntegrity,
    message::{Message, Setter},
    textattrs::TextAttribute,
};

/// RFC 8016 §4.
const MOBILITY_TICKET: AttrType = AttrType(0x8030);

/// A target: its name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 6] = [
    ("stun_message", stun_message),
    ("stream_framing", stream_framing),
    ("channel_data", channel_data),
    ("turn_server", turn_server),
    ("signaling_frames", signaling_frames),
    ("socketio_packets", socketio_packets),
];

/// A message is parsed or refused, and everything parsed lies within its bytes.
pub fn stun_message(bytes: &[u8]) {
    let Ok(request) = Request::parse(bytes) else { return };
    assert_eq!(Kind::of(bytes), Kind::Stun);
    if let Some(data) = &request.attributes.data {
        assert!(bytes.get(data.clone()).is_some());
    }
    // Each iterator is run to its end.
    request.peers().for_each(drop);
    assert_eq!(
        Frame::first(bytes, MAX_FRAME),
        Frame::Whole { message: bytes.len(), ends: bytes.len() }
    );
}

/// The boundaries of messages do not depend on how a stream was split.
pub fn stream_framing(bytes: &[u8]) {
    let Some((&step, bytes)) = bytes.split_first() else { return };
    let limit = 4096;
    let frames = |step: usize| {
        let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            match Frame::first(&bytes[start..end], limit) {
                Frame::Whole { message, ends } => {
                    assert!(message <= ends && ends <= end - start && message <= limit);
                    found.push((start, message));
                    start += ends;
                }
                Frame::Part if end < bytes.len() => end = (end + step).min(bytes.len()),
                // The stream is closed in either case; the split decides which is noticed first.
                last => return (found, start, last == Frame::Part),
            }
        }
    };
    let whole = frames(bytes.len().max(1));
    assert_eq!(frames(usize::from(step).max(1)), whole);
}

/// A ChannelData message is parsed within its bounds, and encodes to the same bytes.
pub fn channel_data(bytes: &[u8]) {
    let Some(read) = ChannelData::parse(bytes) else { return };
    let payload = bytes[read.payload.clone()].to_vec();
    let mut buffer = vec![0; HEADROOM + payload.len() + HEADROOM];
    let range = HEADROOM..HEADROOM + payload.len();
    buffer[range.clone()].copy_from_slice(&payload);
    let mut packet = Packet::new(&mut buffer, range);
    ChannelData::wrap(&mut packet, read.number);
    assert_eq!(packet.bytes(), &bytes[..read.payload.end]);
}

const REALM: &str = "fuzz";
const LISTENERS: [&str; 2] = ["8.8.4.4:3478", "[2606:4700::1]:3478"];
const PEERS: [&str; 4] = ["8.8.8.8:7", "9.9.9.9:9", "[2606:4700::9]:9", "8.8.4.4:50001"];

/// A client of the server under test.
struct Client {
    tuple: FiveTuple,
    nonce: String,
    stream: bool,
}

struct Server {
    engine: Engine,
    metrics: Arc<Metrics>,
    now: Now,
    open: HashMap<AllocationId, SocketAddr>,
    clients: Vec<Client>,
    answers: Vec<(FiveTuple, Vec<u8>)>,
    /// The last ticket that any client got (RFC 8016).
    ticket: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        let now = Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
        let users = vec![("alice".to_owned(), Secret::new("pass"))];
        let auth = TurnAuth::new(REALM.into(), TurnSecrets::new(&[Secret::new("s")]), users);
        let config = turn::Config {
            relay_ports: 50_000..=50_007,
            max_permissions: 3,
            max_channels: 3,
            max_allocations: 4,
            mobility: true,
            ..turn::Config::default()
        };
        let listeners = LISTENERS.map(|at| at.parse().unwrap()).to_vec();
        let common = Common::new(config, auth, listeners);
        let metrics = Arc::new(Metrics::default());
        let mut engine = Engine::new(common, 0, metrics.clone(), [7; 32]);
        let clients = (0..4)
            .map(|n: u16| {
                let client = ClientAddr(format!("198.51.100.1:{}", 4000 + n).parse().unwrap());
                let stream = n % 2 == 1;
                let tuple = match stream {
                    true => engine.stream_opened(client, "8.8.4.4".parse().unwrap()),
                    false => FiveTuple { via: Via::Listener(0), client },
                };
                Client { tuple, nonce: String::new(), stream }
            })
            .collect();
        let (open, answers) = (HashMap::new(), Vec::new());
        Self { engine, metrics, now, open, clients, answers, ticket: Vec::new() }
    }

    fn client_sends(&mut self, client: usize, bytes: &[u8]) {
        let mut buffer = vec![0; HEADROOM + bytes.len() + HEADROOM];
        let range = HEADROOM..HEADROOM + bytes.len();
        buffer[range.clone()].copy_from_slice(bytes);
        let mut packet = Packet::new(&mut buffer, range);
        match self.engine.handle_client(self.now, self.clients[client].tuple, &mut packet) {
            FromClient::Forward { allocation, .. } => {
                assert!(self.open.contains_key(&allocation), "from a socket that is not open");
                assert!(packet.bytes().len() <= bytes.len());
            }
            FromClient::HandOver(way) => {
                assert_eq!(self.open.get(&way.owner.allocation), Some(&way.to));
                self.engine.handle_relayed(self.now, way, &mut packet);
            }
            FromClient::Handled | FromClient::Dropped(_) => {}
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { to, bytes } => self.answers.push((to, bytes)),
                Output::OpenRelay { allocation, address, .. }
                | Output::ListenRelay { allocation, address } => {
                    assert!(self.open.values().all(|open| *open != address));
                    assert_eq!(self.open.insert(allocation, address), None);
                    self.engine.relay_opened(self.now, allocation, Ok(()));
                }
                Output::CloseRelay { allocation } => {
                    assert!(self.open.remove(&allocation).is_some());
                }
                Output::Connect { connection, .. } => {
                    self.engine.connected(self.now, connection, true);
                }
                _ => {}
            }
        }
    }

    /// Sends a request with any attributes, with the user's credentials.
    fn request(&mut self, client: usize, method: u8, rest: &mut &[u8]) {
        let mut message = Message::new();
        // The class of a request has no bits (RFC 8489 §5).
        message.typ.read_value(u16::from(method) % 16);
        message.write_header();
        message.new_transaction_id().unwrap();
        let many = take(rest) % 5;
        for _ in 0..many {
            attribute(rest, &self.ticket).add_to(&mut message).unwrap();
        }
        let texts = [(ATTR_USERNAME, "alice"), (ATTR_REALM, REALM)];
        for (typ, text) in texts {
            TextAttribute::new(typ, text.into()).add_to(&mut message).unwrap();
        }
        let nonce = self.clients[client].nonce.clone();
        TextAttribute::new(ATTR_NONCE, nonce).add_to(&mut message).unwrap();
        let key =
            MessageIntegrity::new_long_term_integrity("alice".into(), REALM.into(), "pass".into());
        // After a FINGERPRINT no MESSAGE-INTEGRITY can be added.
        if key.add_to(&mut message).is_err() {
            return;
        }
        self.client_sends(client, &message.raw);
        // Clients use the newest nonce.
        for (to, bytes) in std::mem::take(&mut self.answers) {
            let mut answer = Message::new();
            answer.unmarshal_binary(&bytes).expect("the server speaks STUN");
            if let Some(client) = self.clients.iter_mut().find(|client| client.tuple == to)
                && let Ok(nonce) = TextAttribute::get_from_as(&answer, ATTR_NONCE)
            {
                client.nonce = nonce.text;
            }
            if let Ok(ticket) = answer.get(MOBILITY_TICKET) {
                self.ticket = ticket;
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.engine.handle_timeout(self.now);
        self.carry_out();
    }
}

fn take(bytes: &mut &[u8]) -> u8 {
    match bytes.split_first() {
        Some((first, rest)) => {
            *bytes = rest;
            *first
        }
        None => 0,
    }
}

/// Returns a plausible attribute or an arbitrary one.
fn attribute(rest: &mut &[u8], ticket: &[u8]) -> RawAttribute {
    let (typ, value): (AttrType, Vec<u8>) = match take(rest) % 10 {
        0 | 1 => (
            ATTR_REQUESTED_TRANSPORT,
            vec![if take(rest).is_multiple_of(4) { 6 } else { 17 }, 0, 0, 0],
        ),
        2 => (AttrType(0x000C), vec![0x40, take(rest) % 4, 0, 0]),
        3 | 4 => {
            let peer: SocketAddr = PEERS[usize::from(take(rest)) % PEERS.len()].parse().unwrap();
            (AttrType(0x0012), xor(peer))
        }
        5 => (AttrType(0x000D), vec![0, 0, take(rest), take(rest)]),
        6 => (AttrType(0x0018), vec![take(rest)]),
        7 => (MOBILITY_TICKET, Vec::new()),
        8 => (MOBILITY_TICKET, ticket.to_vec()),
        _ => {
            let typ = u16::from_be_bytes([take(rest), take(rest)]);
            let len = usize::from(take(rest) % 24);
            (AttrType(typ), (0..len).map(|_| take(rest)).collect())
        }
    };
    RawAttribute { typ, length: value.len() as u16, value }
}

/// Encodes XOR-PEER-ADDRESS for IPv4. For IPv6 it is invalid, since the transaction is not known
/// here.
fn xor(peer: SocketAddr) -> Vec<u8> {
    let cookie = [0x21, 0x12, 0xA4, 0x42];
    let port = peer.port() ^ 0x2112;
    let mut value = vec![0, if peer.is_ipv4() { 1 } else { 2 }];
    value.extend(port.to_be_bytes());
    match peer.ip() {
        std::net::IpAddr::V4(ip) => {
            value.extend(ip.octets().iter().zip(cookie).map(|(a, b)| a ^ b))
        }
        std::net::IpAddr::V6(ip) => value.extend(ip.octets()),
    }
    value
}

/// For any input from clients and peers, in any order: no output names a socket that is not open,
/// no address is allocated twice, and once all lifetimes have passed nothing is left.
pub fn turn_server(mut bytes: &[u8]) {
    let mut server = Server::new();
    for _ in 0..64 {
        if bytes.is_empty() {
            break;
        }
        let (what, client) = (take(&mut bytes), usize::from(take(&mut bytes)) % 4);
        match what % 8 {
            0 => {
                let len = usize::from(take(&mut bytes)).min(bytes.len());
                let (raw, rest) = bytes.split_at(len);
                bytes = rest;
                server.client_sends(client, raw);
            }
            1 => server.advance(Duration::from_secs(u64::from(take(&mut bytes)) * 5)),
            2 => {
                let peer = PEERS[usize::from(take(&mut bytes)) % PEERS.len()].parse().unwrap();
                let (mut buffer, range) =
                    (vec![7; 300], 100..100 + usize::from(take(&mut bytes)) % 100);
                for id in server.open.keys().copied().collect::<Vec<_>>() {
                    let mut packet = Packet::new(&mut buffer, range.clone());
                    if let FromPeer::Forward { to } =
                        server.engine.handle_peer(server.now, id, peer, &mut packet)
                    {
                        let nowhere = to.via == Via::Stream(StreamId(u32::MAX));
                        assert!(nowhere || server.clients.iter().any(|c| c.tuple == to));
                    }
                    server.engine.peer_connected(server.now, id, peer);
                }
                server.carry_out();
            }
            3 if server.clients[client].stream => {
                let gone = &mut server.clients[client];
                let Via::Stream(id) = gone.tuple.via else { continue };
                server.engine.stream_closed(id);
                let address = gone.tuple.client;
                gone.tuple = server.engine.stream_opened(address, "8.8.4.4".parse().unwrap());
                server.carry_out();
            }
            _ => {
                let method = [1, 3, 3, 3, 4, 8, 9, 10, 11][usize::from(take(&mut bytes)) % 9];
                server.request(client, method, &mut bytes);
            }
        }
    }
    server.advance(Duration::from_secs(8000));
    assert!(server.open.is_empty(), "{:?}", server.open);
    assert_eq!(Snapshot::of(std::iter::once(&*server.metrics)).allocations, 0);
}

/// Returns the id of the call in an answer.
fn call_id(answer: &signaling::Answer) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(answer.0.as_str()).expect("it is JSON");
    answer["callId"].as_str().map(str::to_owned)
}

/// For any frames of signed-in clients: the hub answers each request that has an id exactly once,
/// and holds no call when all clients have left.
pub fn signaling_frames(bytes: &[u8]) {
    let config = signaling::Config { events_per_second: 0, ..signaling::Config::default() };
    let mut hub = Hub::new(config, [7; 32]);
    let mut now = Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
    let mut rng = rand::rng();
    let sessions: Vec<_> = ["alice", "bob", "carol"]
        .iter()
        .map(|name| {
            let session = SessionId::generate(now.unix_ms(), &mut rng);
            let (user, grants) = (UserId::new(name).unwrap(), Grants::default());
            let (token, issued) = (TokenId::default(), None);
            let identity = Identity { user, name: None, expires: u64::MAX, grants, token, issued };
            let device = DeviceId::new("d").unwrap();
            let (device, resume) = (Some(device), Resume::New);
            hub.handle(now, Input::Open { session, identity: identity.into(), device, resume });
            session
        })
        .collect();
    let mut call = None;
    for (at, line) in bytes.split(|byte| *byte == b'\n').take(64).enumerate() {
        while let Some(output) = hub.poll_output() {
            if let signaling::Output::Answer { answer, .. } = output {
                call = call_id(&answer).or(call);
            }
        }
        let Some((&who, line)) = line.split_first() else { continue };
        let Ok(text) = std::str::from_utf8(line) else { continue };
        // The id of a call cannot be guessed: `$` stands for the last one.
        let text = text.replace('$', call.as_deref().unwrap_or("$"));
        let Ok(frame) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        let Some(event) = frame["event"].as_str() else { continue };
        let Ok(data) = Payload::parse(&frame["data"].to_string()) else { continue };
        let (session, id) = (sessions[usize::from(who) % 3], RequestId(at as u64));
        let event = event.to_owned();
        hub.handle(now, Input::Request { session, id: Some(id), event, data });
        let mut answered = HashSet::new();
        while let Some(output) = hub.poll_output() {
            if let signaling::Output::Answer { session: to, id, answer } = output {
                assert!(answered.insert((to, id)), "answered twice");
                call = call_id(&answer).or(call);
            }
        }
        assert!(answered.contains(&(session, id)), "{text} was not answered");
        now = now + Duration::from_millis(u64::from(who) * 10);
        hub.handle_timeout(now);
    }
    for session in sessions {
        hub.handle(now, Input::Closed { session });
    }
    hub.handle_timeout(now + Duration::from_secs(3600));
    while hub.poll_output().is_some() {}
    assert_eq!(hub.stats().users, 0, "a session or a call is left");
}

/// A Socket.IO payload is split into the same packets after it was encoded again, and each of its
/// packets is parsed or refused; everything parsed lies within it.
pub fn socketio_packets(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for revision in [Revision::Three, Revision::Four] {
        let split = |payload| {
            let packets = engine::packets(revision, payload).flatten();
            packets.filter(|packet| !packet.is_empty()).collect::<Vec<&str>>()
        };
        let read = split(text);
        let mut written = String::new();
        read.iter().for_each(|packet| engine::append(revision, &mut written, packet));
        assert_eq!(split(&written), read);
        for packet in read {
            let Ok(engine::Packet::Message(content)) = engine::Packet::parse(packet) else {
                continue;
            };
            let Ok(packet::Packet::Event { arguments, .. }) = packet::Packet::parse(content) else {
                continue;
            };
            assert!(content.ends_with(arguments));
            let name = packet::event_name(arguments);
            if let Ok((read, _)) = packet::arguments(arguments) {
                assert!(name.is_none_or(|name| name == read));
            }
        }
    }
}
