//! Datagrams in bursts and in runs of equal length: however the relay batches them, each leaves
//! unchanged, in order, and to the right address.
#![cfg(target_os = "linux")]

use std::net::UdpSocket;

use callbox_client::channel_data;
use callbox_sys::{SendBatch, TrafficClass, enable_gro};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::support::{plain_client::PlainClient, *};

/// Typical lengths: equal ones, a shorter last one, some that fit no run, and empty ones.
const LENGTHS: [usize; 16] =
    [1200, 1200, 1200, 700, 1200, 1200, 0, 0, 16, 16, 16, 5000, 16, 1452, 1453, 1453];

fn payload(from: usize, n: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![(31 * from + n) as u8; len];
    if let [first, second, ..] = &mut bytes[..] {
        (*first, *second) = (from as u8, n as u8);
    }
    bytes
}

fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let len = socket.recv(&mut buffer).expect("a datagram before the deadline");
    buffer.truncate(len);
    buffer
}

#[test]
fn mixed_bursts_of_many_clients_arrive_whole_and_in_order() {
    let server = start(1, |_| {});
    let clients: Vec<_> = (0..5).map(|_| PlainClient::allocate(server.address(false))).collect();
    let peers: Vec<_> = clients.iter().map(|_| bind()).collect();
    for (client, peer) in clients.iter().zip(&peers) {
        client.bind(0x4001, peer.local_addr().unwrap());
    }
    for _ in 0..20 {
        for (n, len) in LENGTHS.into_iter().enumerate() {
            for (from, client) in clients.iter().enumerate() {
                client.socket.send(&channel_data(0x4001, &payload(from, n, len))).unwrap();
            }
        }
        for (n, len) in LENGTHS.into_iter().enumerate() {
            for (from, peer) in peers.iter().enumerate() {
                assert!(receive(peer) == payload(from, n, len), "up, {n} of {from}");
            }
        }
        for (n, len) in LENGTHS.into_iter().enumerate() {
            for (from, (client, peer)) in clients.iter().zip(&peers).enumerate() {
                peer.send_to(&payload(from, n, len), client.relayed).unwrap();
            }
        }
        for (n, len) in LENGTHS.into_iter().enumerate() {
            for (from, client) in clients.iter().enumerate() {
                let expected = channel_data(0x4001, &payload(from, n, len));
                assert!(client.receive() == expected, "down, {n} of {from}");
            }
        }
    }
}

/// The senders pass their bursts to the kernel with segmentation offload, and the relay receives
/// them with it.
#[test]
fn offloaded_runs_are_relayed_as_separate_datagrams() {
    let server = start(1, |_| {});
    let client = PlainClient::allocate(server.address(false));
    let (with_channel, without) = (bind(), bind());
    client.bind(0x4001, with_channel.local_addr().unwrap());
    client.permit(without.local_addr().unwrap());
    let mut rng = StdRng::seed_from_u64(1);
    let mut batch = SendBatch::default();
    for _ in 0..200 {
        let len = rng.random_range(1..=1400);
        let count = rng.random_range(1..=(60_000 / len).min(64));
        let last = rng.random_range(1..=len);
        let lengths = |n: usize| if n + 1 == count { last } else { len };
        let payloads: Vec<_> = (0..count).map(|n| payload(1, n, lengths(n))).collect();

        let messages: Vec<_> = payloads.iter().map(|p| channel_data(0x4001, p)).collect();
        let bytes = messages.concat();
        batch.push(None, TrafficClass::DEFAULT, 0..bytes.len(), messages[0].len());
        assert_eq!(batch.send(&client.socket, &bytes).taken().unwrap(), count);
        for payload in &payloads {
            assert!(receive(&with_channel) == *payload);
        }

        let bytes = payloads.concat();
        for peer in [&with_channel, &without] {
            batch.push(Some(client.relayed), TrafficClass::DEFAULT, 0..bytes.len(), len);
            assert_eq!(batch.send(peer, &bytes).taken().unwrap(), count);
            for (payload, message) in payloads.iter().zip(&messages) {
                let got = client.receive();
                if std::ptr::eq(peer, &with_channel) {
                    assert!(got == *message);
                    continue;
                }
                // A Data indication ends with the payload, padded to four bytes.
                let end = got.len() - payload.len().wrapping_neg() % 4;
                assert_eq!((&got[..2], got.len() % 4), (&[0x00, 0x17][..], 0));
                assert!(got[..end].ends_with(payload));
            }
        }
    }
}

/// A receiver with receive offload gets one run: datagrams to one address are sent together.
#[test]
fn a_burst_to_one_peer_is_sent_as_one_run() {
    let server = start(1, |_| {});
    let client = PlainClient::allocate(server.address(false));
    let peer = bind();
    client.bind(0x4001, peer.local_addr().unwrap());
    enable_gro(&peer).unwrap();
    let message = channel_data(0x4001, &[7; 100]);
    let bytes = message.repeat(8);
    let mut batch = SendBatch::default();
    batch.push(None, TrafficClass::DEFAULT, 0..bytes.len(), message.len());
    batch.send(&client.socket, &bytes).taken().unwrap();
    assert_eq!(receive(&peer), [7; 800]);
}

/// Two clients of one server, on the same worker and on different ones, with indications and
/// channels.
#[test]
fn between_two_clients_nothing_leaves_the_server() {
    for workers in [1, 2] {
        let server = start(workers, |_| {});
        let clients: Vec<_> =
            (0..8).map(|_| PlainClient::allocate(server.address(false))).collect();
        let mut batch = SendBatch::default();
        for (n, client) in clients.iter().enumerate() {
            for (m, other) in clients.iter().enumerate().filter(|(m, _)| *m != n) {
                client.bind(0x4000 + m as u16, other.relayed);
            }
        }
        for (n, client) in clients.iter().enumerate() {
            for (m, other) in clients.iter().enumerate().filter(|(m, _)| *m != n) {
                let send =
                    |number: usize| channel_data(0x4000 + number as u16, &payload(n, m, 500));
                client.socket.send(&send(m)).unwrap();
                assert!(other.receive() == send(n), "{n} to {m}");
                let run = send(m).repeat(8);
                batch.push(None, TrafficClass::DEFAULT, 0..run.len(), run.len() / 8);
                batch.send(&client.socket, &run).taken().unwrap();
                for _ in 0..8 {
                    assert!(other.receive() == send(n), "a run from {n} to {m}");
                }
            }
        }
        let metrics = server.relay.metrics();
        assert_eq!((metrics.packets_up, metrics.packets_down), (8 * 7 * 9, 8 * 7 * 9));
        assert!(metrics.drops.iter().all(|(_, count)| *count == 0), "{:?}", metrics.drops);
    }
}

/// A peer that gets many packets gets a socket of its own, on the same relayed address. No peer
/// notices a difference, and the end of that socket affects no other peer.
#[test]
fn a_peer_with_a_connected_socket_behaves_like_any_other() {
    let server = start(1, |_| {});
    let client = PlainClient::allocate(server.address(false));
    let (often, seldom, stranger) = (bind(), bind(), bind());
    client.bind(0x4001, often.local_addr().unwrap());
    client.bind(0x4002, seldom.local_addr().unwrap());
    let mut buffer = [0; 100];
    let mut up = |number, peer: &UdpSocket| {
        client.socket.send(&channel_data(number, b"up")).unwrap();
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (2, client.relayed));
    };
    let down = |number, peer: &UdpSocket| {
        peer.send_to(b"down", client.relayed).unwrap();
        assert_eq!(client.receive(), channel_data(number, b"down"));
    };
    for _ in 0..200 {
        up(0x4001, &often);
        down(0x4001, &often);
    }
    up(0x4002, &seldom);
    down(0x4002, &seldom);
    // The permission is for the address, with any port.
    stranger.send_to(b"down", client.relayed).unwrap();
    assert!(client.receive().ends_with(b"down"));

    let address = often.local_addr().unwrap();
    drop(often);
    for _ in 0..10 {
        client.socket.send(&channel_data(0x4001, b"up")).unwrap();
    }
    up(0x4002, &seldom);
    down(0x4002, &seldom);
    let again = UdpSocket::bind(address).unwrap();
    again.set_read_timeout(Some(DEADLINE)).unwrap();
    up(0x4001, &again);
    down(0x4001, &again);
    // The other peer becomes the one with the most traffic.
    for _ in 0..200 {
        up(0x4002, &seldom);
    }
    down(0x4002, &seldom);
    up(0x4001, &again);
    down(0x4001, &again);
    let drops = server.relay.metrics().drops;
    assert!(drops.iter().all(|(_, count)| *count == 0), "{drops:?}");
}
