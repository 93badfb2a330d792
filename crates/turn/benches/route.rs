//! The time that the engine takes for a packet of a client and for one of a peer, by channel and by
//! indication. Neither the system nor a socket takes part.

use std::{
    hint::black_box,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_stun::testing::message;
use callbox_turn::{
    AllocationId, ClientAddr, Common, Config, Engine, FiveTuple, FromClient, FromPeer, HEADROOM,
    Metrics, Now, Output, Packet, Secret, TurnSecrets, Via, auth::TurnAuth,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stun::{
    attributes::{ATTR_CHANNEL_NUMBER, ATTR_NONCE, ATTR_REALM, ATTR_USERNAME, RawAttribute},
    integrity::MessageIntegrity,
    message::*,
    textattrs::TextAttribute,
};
use turn::proto::{PROTO_UDP, data::Data, peeraddr::PeerAddress, reqtrans::RequestedTransport};

/// The payload of a packet of a voice call: 20 ms of Opus, with its RTP header.
const VOICE: usize = 172;
const CHANNEL: u16 = 0x4000;

/// An engine with one allocation, which has a channel to one peer and a permission for another.
struct Relay {
    engine: Engine,
    now: Now,
    tuple: FiveTuple,
    allocation: AllocationId,
    channel_peer: SocketAddr,
    permitted_peer: SocketAddr,
}

impl Relay {
    fn new() -> Self {
        let users = vec![("alice".to_owned(), Secret::new("password"))];
        let auth = TurnAuth::new("example.org".to_owned(), TurnSecrets::default(), users);
        let listener = "192.0.2.1:3478".parse().expect("an address");
        let common = Common::new(Config::default(), auth, vec![listener]);
        let engine = Engine::new(common, 0, Arc::new(Metrics::default()), [7; 32]);
        let mut relay = Self {
            engine,
            now: Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) },
            tuple: FiveTuple {
                via: Via::Listener(0),
                client: ClientAddr("198.51.100.1:4000".parse().expect("an address")),
            },
            allocation: AllocationId(0),
            channel_peer: "9.9.9.9:7000".parse().expect("an address"),
            permitted_peer: "8.8.8.8:7000".parse().expect("an address"),
        };
        let udp = RequestedTransport { protocol: PROTO_UDP };
        let challenge = relay.request(METHOD_ALLOCATE, &[&udp], None);
        let nonce = TextAttribute::get_from_as(&challenge, ATTR_NONCE).expect("a nonce").text;
        let [high, low] = CHANNEL.to_be_bytes();
        let value = vec![high, low, 0, 0];
        let number = RawAttribute { typ: ATTR_CHANNEL_NUMBER, length: 4, value };
        let peer = address(relay.channel_peer);
        let permitted = address(relay.permitted_peer);
        for (method, attributes) in [
            (METHOD_ALLOCATE, &[&udp as &dyn Setter][..]),
            (METHOD_CHANNEL_BIND, &[&number, &peer]),
            (METHOD_CREATE_PERMISSION, &[&permitted]),
        ] {
            let answer = relay.request(method, attributes, Some(&nonce));
            assert_eq!(answer.typ.class, CLASS_SUCCESS_RESPONSE, "{answer}");
        }
        relay
    }

    fn request(
        &mut self,
        method: Method,
        attributes: &[&dyn Setter],
        nonce: Option<&str>,
    ) -> Message {
        let mut message = message(MessageType::new(method, CLASS_REQUEST), attributes);
        if let Some(nonce) = nonce {
            let [user, realm, password] = ["alice", "example.org", "password"].map(String::from);
            message.add(ATTR_USERNAME, user.as_bytes());
            message.add(ATTR_REALM, realm.as_bytes());
            message.add(ATTR_NONCE, nonce.as_bytes());
            MessageIntegrity::new_long_term_integrity(user, realm, password)
                .add_to(&mut message)
                .expect("the message has room for its integrity");
        }
        let mut buffer = buffer(&message.raw);
        let mut packet = Packet::new(&mut buffer, HEADROOM..HEADROOM + message.raw.len());
        self.engine.handle_client(self.now, self.tuple, &mut packet);
        let mut answer = Message::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::OpenRelay { allocation, .. } => {
                    self.allocation = allocation;
                    self.engine.relay_opened(self.now, allocation, Ok(()));
                }
                Output::Transmit { bytes, .. } => {
                    answer.unmarshal_binary(&bytes).expect("an answer");
                }
                _ => {}
            }
        }
        answer
    }

    fn receive_client(&mut self, buffer: &mut [u8], length: usize) -> FromClient {
        let mut packet = Packet::new(buffer, HEADROOM..HEADROOM + length);
        self.engine.handle_client(self.now, self.tuple, &mut packet)
    }

    fn receive_peer(&mut self, peer: SocketAddr, buffer: &mut [u8]) -> FromPeer {
        let mut packet = Packet::new(buffer, HEADROOM..HEADROOM + VOICE);
        self.engine.handle_peer(self.now, self.allocation, peer, &mut packet)
    }
}

fn address(peer: SocketAddr) -> PeerAddress {
    PeerAddress { ip: peer.ip(), port: peer.port() }
}

/// A buffer with a datagram in its middle.
fn buffer(datagram: &[u8]) -> Vec<u8> {
    [&[0; HEADROOM], datagram, &[0; HEADROOM]].concat()
}

fn route(c: &mut Criterion) {
    let mut relay = Relay::new();
    let mut group = c.benchmark_group("route");
    group.throughput(Throughput::Elements(1));

    let [high, low] = CHANNEL.to_be_bytes();
    let channel_data = [&[high, low, 0, VOICE as u8], &[0; VOICE][..]].concat();
    let peer = address(relay.permitted_peer);
    let indication = MessageType::new(METHOD_SEND, CLASS_INDICATION);
    let indication = message(indication, &[&peer, &Data(vec![0; VOICE])]).raw;
    for (name, datagram) in
        [("channel_data_to_peer", channel_data), ("send_indication_to_peer", indication)]
    {
        let mut buffer = buffer(&datagram);
        let verdict = relay.receive_client(&mut buffer, datagram.len());
        assert!(matches!(verdict, FromClient::Forward { .. }), "{verdict:?}");
        group.bench_function(name, |b| {
            b.iter(|| black_box(relay.receive_client(black_box(&mut buffer), datagram.len())));
        });
    }

    let mut buffer = buffer(&[0; VOICE]);
    for (name, peer) in [
        ("peer_to_channel_data", relay.channel_peer),
        ("peer_to_data_indication", relay.permitted_peer),
    ] {
        let verdict = relay.receive_peer(peer, &mut buffer);
        assert!(matches!(verdict, FromPeer::Forward { .. }), "{verdict:?}");
        group.bench_function(name, |b| {
            b.iter(|| black_box(relay.receive_peer(black_box(peer), &mut buffer)));
        });
    }
}

criterion_group!(benches, route);
criterion_main!(benches);
