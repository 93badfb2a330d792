//! The fuzz target of the TURN core: clients and peers that send anything.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::ClientAddr,
};
use callbox_stun::{HEADROOM, Packet};
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
pub(crate) fn turn_server(mut bytes: &[u8]) {
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
