//! DSCP and ECN (RFC 8656 §13 to §15): each relayed datagram has the values of the received one, in
//! both directions.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, TcpStream, UdpSocket};

use callbox_client::{Request, channel_data, requested_family, send_indication};
use callbox_sys::{ReceiveBatch, SendBatch, TrafficClass, tell_class};
use socket2::SockRef;
use stun::attributes::ATTR_DONT_FRAGMENT;

use crate::support::{
    plain_client::{Framed, PlainClient, Wire},
    *,
};

/// The classes of a call: audio (EF), video (AF41) and best effort, with and without ECN, and
/// congestion marks. Equal ones come in a row and between others.
const CLASSES: [u8; 16] = [
    0xb8, 0xb8, 0x88, 0xb8, 0x00, 0x00, 0x01, 0x02, 0x03, 0x88, 0x8b, 0x8b, 0xb9, 0x00, 0xb8, 0xff,
];

/// Returns a payload that names its class. All have one length, and would be sent as one run but
/// for their classes.
fn payload(class: u8) -> Vec<u8> {
    vec![class; 100]
}

/// A socket that receives the traffic class of each datagram.
struct Socket {
    udp: UdpSocket,
    received: ReceiveBatch,
}

impl Socket {
    fn new(udp: UdpSocket) -> Self {
        udp.set_read_timeout(Some(DEADLINE)).unwrap();
        tell_class(&udp, udp.local_addr().unwrap().is_ipv4()).unwrap();
        Self { udp, received: ReceiveBatch::new(1, 2000, 0, 0) }
    }

    fn bind(ip: &str) -> Self {
        Self::new(UdpSocket::bind((ip, 0)).unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }

    /// Sends each message in its class, as fast as possible.
    fn send(&self, to: Option<SocketAddr>, messages: &[(u8, Vec<u8>)]) {
        let (mut batch, mut bytes) = (SendBatch::default(), Vec::new());
        for (class, message) in messages {
            let range = bytes.len()..bytes.len() + message.len();
            bytes.extend_from_slice(message);
            batch.push(to, TrafficClass(*class), range, message.len());
        }
        assert_eq!(batch.send(&self.udp, &bytes).taken().unwrap(), messages.len());
    }

    /// Returns the next datagram and its class.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        self.udp.peek(&mut [0]).expect("a datagram before the deadline");
        self.received.receive(&self.udp, 0..1).unwrap();
        let got = self.received.received(0).unwrap();
        (got.class.0, self.received.buffer()[got.bytes].to_vec())
    }
}

impl Wire for Socket {
    fn put(&self, message: &[u8]) {
        self.udp.put(message);
    }

    fn take(&self) -> Vec<u8> {
        self.udp.take()
    }
}

fn loopback(v6: bool) -> &'static str {
    if v6 { "::1" } else { "127.0.0.1" }
}

/// Opens an allocation from an address of either family, with a relayed address of either.
fn client(server: &Server, v6: bool, relayed_v6: bool) -> PlainClient<Socket> {
    let socket = Socket::bind(loopback(v6));
    socket.udp.connect(server.address(v6)).unwrap();
    let request = Request::allocate().with(requested_family(relayed_v6));
    PlainClient::allocate_with(socket, &request)
}

fn bursts(message: impl Fn(u8) -> Vec<u8>) -> Vec<(u8, Vec<u8>)> {
    CLASSES.into_iter().map(|class| (class, message(class))).collect()
}

/// There are enough packets that the peer gets a socket of its own.
#[test]
fn each_datagram_keeps_its_class_in_both_directions() {
    let server = start(1, |_| {});
    for (v6, relayed_v6) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut client = client(&server, v6, relayed_v6);
        let mut peer = Socket::bind(loopback(relayed_v6));
        client.bind(0x4001, peer.address());
        for _ in 0..20 {
            client.socket.send(None, &bursts(|class| channel_data(0x4001, &payload(class))));
            for class in CLASSES {
                assert_eq!(peer.receive(), (class, payload(class)), "up, {v6}, {relayed_v6}");
            }
            peer.send(Some(client.relayed), &bursts(payload));
            for class in CLASSES {
                let expected = channel_data(0x4001, &payload(class));
                assert_eq!(client.socket.receive(), (class, expected), "down, {v6}, {relayed_v6}");
            }
        }
    }
}

/// Send indications, some of them with DONT-FRAGMENT, which use a path of their own through the
/// relay; and Data indications.
#[test]
fn indications_and_unfragmented_datagrams_keep_their_class() {
    let server = start(1, |_| {});
    let mut client = client(&server, false, false);
    let mut peer = Socket::bind("127.0.0.1");
    client.permit(peer.address());
    for dont_fragment in [false, true] {
        let indication = |class| {
            let mut message = send_indication(peer.address(), &payload(class)).unwrap();
            if dont_fragment {
                message.add(ATTR_DONT_FRAGMENT, &[]);
            }
            message.raw
        };
        client.socket.send(None, &bursts(indication));
        for class in CLASSES {
            assert_eq!(peer.receive(), (class, payload(class)), "{dont_fragment}");
        }
        peer.send(Some(client.relayed), &bursts(payload));
        for class in CLASSES {
            let (got, message) = client.socket.receive();
            assert_eq!(got, class);
            assert!(message.ends_with(&payload(class)));
        }
    }
}

/// Between two clients of the server no datagram is sent: on one worker and across two.
#[test]
fn the_class_is_kept_between_two_clients_of_the_server() {
    for workers in [1, 2] {
        let server = start(workers, |_| {});
        let mut clients: Vec<_> = (0..8).map(|_| client(&server, false, false)).collect();
        let relayed: Vec<_> = clients.iter().map(|client| client.relayed).collect();
        for (n, client) in clients.iter().enumerate() {
            for (m, other) in relayed.iter().enumerate().filter(|(m, _)| *m != n) {
                client.bind(0x4000 + m as u16, *other);
            }
        }
        for n in 0..8 {
            for m in (0..8).filter(|m| *m != n) {
                let message = |number, class| channel_data(0x4000 + number as u16, &payload(class));
                clients[n].socket.send(None, &bursts(|class| message(m, class)));
                for class in CLASSES {
                    assert_eq!(clients[m].socket.receive(), (class, message(n, class)));
                }
            }
        }
    }
}

/// Data from TCP leaves as best effort and not ECN-capable, whatever its segments were marked with
/// (RFC 8656 §15). In the opposite direction data of every class arrives.
#[test]
fn data_from_a_stream_has_the_default_class() {
    let server = crate::common::Server::with(&["--realm", REALM, "--user", "static:pass"]);
    let stream = TcpStream::connect(server.turn()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    SockRef::from(&stream).set_tos_v4(0xb8).unwrap();
    let client = PlainClient::allocate_over(Framed::new(stream));
    let mut peer = Socket::bind("127.0.0.1");
    client.bind(0x4001, peer.address());
    for class in CLASSES {
        client.socket.put(&channel_data(0x4001, &payload(class)));
        assert_eq!(peer.receive(), (0, payload(class)));
        peer.send(Some(client.relayed), &[(class, payload(class))]);
        assert_eq!(client.receive(), channel_data(0x4001, &payload(class)));
    }
}
