//! The longest messages that a stream can carry: payloads that fit a datagram are relayed, longer
//! ones are counted, and the stream goes on.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};

use callbox_client::{Request, channel_data, requested_family};

use crate::{
    common::{DEADLINE, Server},
    support::plain_client::{Framed, PlainClient},
};

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

const TOO_LONG: &str = "callbox_drops_total{reason=\"too_long\"}";

fn start() -> Server {
    // One worker, whose buffer all clients share.
    let users = ["--realm", crate::support::REALM, "--user", "static:pass", "--workers", "1"];
    Server::with(&[&users[..], &["--listen", "[::1]:0"]].concat())
}

/// Creates a client over TCP, by IPv4 or IPv6, with a relayed address of that family, and a peer.
fn client_and_peer(server: &Server, ip: &str) -> (PlainClient<Framed<TcpStream>>, UdpSocket) {
    let uris = server.ready["turn"].as_array().unwrap().iter().filter_map(|uri| uri.as_str());
    let mut addresses = uris.filter_map(|uri| uri.strip_prefix("turn:")?.split('?').next());
    let stream = TcpStream::connect(addresses.find(|at| at.starts_with(ip)).unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let socket = Framed::new(stream);
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().unwrap();
    let request = Request::allocate().with(requested_family(ip.is_ipv6()));
    let client = PlainClient::allocate_with(socket, &request);
    let peer = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    client.bind(0x4001, peer.local_addr().unwrap());
    (client, peer)
}

/// Sends ChannelData of these lengths and expects those up to `longest` to arrive, the others not.
fn channel_data_of(ip: &str, longest: usize, lengths: &[usize]) {
    let server = start();
    let (client, peer) = client_and_peer(&server, ip);
    let mut buffer = vec![0; 65_535];
    let mut dropped = 0;
    for &len in lengths {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let mut message = channel_data(0x4001, &payload);
        message.resize(message.len().next_multiple_of(4), 0);
        // The message is split in the middle, and another follows it directly.
        message.extend(BINDING);
        let (first, second) = message.split_at(message.len() / 2);
        client.socket.write(first);
        client.socket.write(second);
        assert_eq!(client.receive()[..2], [1, 1], "the answer behind {len} bytes");
        if len <= longest {
            let (got, from) = peer.recv_from(&mut buffer).unwrap();
            assert!(buffer[..got] == payload && from == client.relayed, "{got} of {len} bytes");
        } else {
            dropped += 1;
        }
        assert_eq!(server.metric(TOO_LONG), f64::from(dropped), "{len} bytes");
    }
    // No part of the longer ones was sent.
    client.send(peer.local_addr().unwrap(), b"the next");
    assert_eq!(peer.recv_from(&mut buffer).unwrap().0, 8);
    // The opposite direction.
    peer.send_to(&buffer[..longest], client.relayed).unwrap();
    let (received, sent) = (client.receive(), channel_data(0x4001, &buffer[..longest]));
    assert!(
        received.starts_with(&sent) && received.len() - sent.len() < 4,
        "{} bytes came",
        received.len()
    );
}

#[test]
fn the_longest_channel_data_to_ipv4_is_relayed_or_counted_and_closes_nothing() {
    // Of a packet's 65,535 bytes, 28 are headers (RFC 791, RFC 768).
    channel_data_of("127.0.0.1", 65_507, &[9000, 65_506, 65_507, 65_508, 65_528, 65_531, 65_535]);
}

#[test]
fn the_longest_channel_data_to_ipv6_is_relayed_or_counted_and_closes_nothing() {
    channel_data_of("[::1]", 65_527, &[9000, 65_527, 65_528, 65_532, 65_533, 65_535]);
}

#[test]
fn the_longest_indications_are_relayed_both_ways() {
    let server = start();
    for (ip, longest) in [("127.0.0.1", 65_507), ("[::1]", 65_532 - 28)] {
        let (client, bound) = client_and_peer(&server, ip);
        // A second socket at the same address has the permission and no channel.
        let peer = UdpSocket::bind(SocketAddr::new(bound.local_addr().unwrap().ip(), 0)).unwrap();
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        let payload = vec![7; longest];
        client.send(peer.local_addr().unwrap(), &payload);
        let mut buffer = vec![0; 65_535];
        let (got, _) = peer.recv_from(&mut buffer).unwrap();
        assert!(buffer[..got] == payload, "{got} bytes of a Send indication");
        peer.send_to(&payload, client.relayed).unwrap();
        let received = client.receive();
        assert_eq!(received[..2], [0x00, 0x17], "a Data indication");
        let data = received.len() - longest.next_multiple_of(4);
        assert!(
            received[data..][..longest] == payload,
            "{} bytes of a Data indication",
            received.len()
        );
    }
    assert_eq!(server.metric(TOO_LONG), 0.0);
}

/// Over UDP, the header alone can make a payload too long: that is counted as well.
#[test]
fn a_payload_too_long_with_its_header_is_counted() {
    let server = start();
    let client = PlainClient::allocate(server.turn().parse().unwrap());
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.bind(0x4001, peer.local_addr().unwrap());
    peer.send_to(&[7; 65_504], client.relayed).unwrap();
    server.wait_for_metric(TOO_LONG, |dropped| dropped == 1.0);
    peer.send_to(&[7; 65_503], client.relayed).unwrap();
    assert_eq!(client.socket.recv(&mut [0; 65_535]).unwrap(), 65_507);
}
