//! The time that it takes to read a message: a Binding request, a signed Allocate, a Send
//! indication and ChannelData.

use std::hint::black_box;

use callbox_stun::{ChannelData, Request, testing::message};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stun::{
    attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_SEND},
    message::{MessageType, Setter},
};
use turn::proto::{PROTO_UDP, data::Data, peeraddr::PeerAddress, reqtrans::RequestedTransport};

/// The payload of a packet of a voice call: 20 ms of Opus, with its RTP header.
const VOICE: usize = 172;

fn signed_allocate() -> Vec<u8> {
    let udp = RequestedTransport { protocol: PROTO_UDP };
    let mut message = message(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST), &[&udp]);
    let [user, realm, password] = ["alice", "example.org", "password"].map(String::from);
    message.add(ATTR_USERNAME, user.as_bytes());
    message.add(ATTR_REALM, realm.as_bytes());
    message.add(ATTR_NONCE, b"a nonce of about thirty bytes.");
    MessageIntegrity::new_long_term_integrity(user, realm, password)
        .add_to(&mut message)
        .expect("the message has room for its integrity");
    message.raw
}

fn send_indication() -> Vec<u8> {
    let peer = PeerAddress { ip: [9, 9, 9, 9].into(), port: 7000 };
    let data = Data(vec![0; VOICE]);
    message(MessageType::new(METHOD_SEND, CLASS_INDICATION), &[&peer, &data]).raw
}

fn parse(c: &mut Criterion) {
    let binding = message(BINDING_REQUEST, &[&FINGERPRINT]).raw;
    let mut group = c.benchmark_group("parse");
    for (name, bytes) in [
        ("binding", binding),
        ("signed_allocate", signed_allocate()),
        ("send_indication", send_indication()),
    ] {
        Request::parse(&bytes).expect("a valid message");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| b.iter(|| Request::parse(black_box(&bytes)).is_ok()));
    }
    let mut channel_data = vec![0x40, 0x00, 0x00, VOICE as u8];
    channel_data.resize(4 + VOICE, 0);
    ChannelData::parse(&channel_data).expect("valid ChannelData");
    group.throughput(Throughput::Bytes(channel_data.len() as u64));
    group.bench_function("channel_data", |b| {
        b.iter(|| ChannelData::parse(black_box(&channel_data)).is_some());
    });
}

criterion_group!(benches, parse);
criterion_main!(benches);
