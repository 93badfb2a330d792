//! ICMP errors that are reported to clients (RFC 8656 §18.13), and DONT-FRAGMENT, on real sockets.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, UdpSocket};

use callbox_client::{channel_data, send_indication};
use stun::{attributes::*, message::*};
use turn::proto::{data::Data, peeraddr::PeerAddress};

use crate::{
    common::network,
    support::{plain_client::*, *},
};

/// Returns a Send indication.
fn send(to: SocketAddr, payload: &[u8], dont_fragment: bool) -> Vec<u8> {
    let mut message = send_indication(to, payload).unwrap();
    if dont_fragment {
        message.add(ATTR_DONT_FRAGMENT, &[]);
    }
    message.raw
}

/// Returns the peer of a Data indication, with its payload or its ICMP attribute.
fn receive_data(client: &PlainClient) -> (SocketAddr, Result<Vec<u8>, Vec<u8>>) {
    let message = parse(&client.receive());
    assert_eq!(message.typ, MessageType { method: METHOD_DATA, class: CLASS_INDICATION });
    let mut peer = PeerAddress::default();
    peer.get_from(&message).unwrap();
    let mut data = Data::default();
    let what = match data.get_from(&message) {
        Ok(()) => Ok(data.0),
        Err(_) => Err(message.get(AttrType(0x8004)).unwrap()),
    };
    (SocketAddr::new(peer.ip, peer.port), what)
}

/// Destination unreachable, port unreachable (RFC 792), as RFC 8656 §18.13 encodes it.
const NO_PORT: [u8; 8] = [0, 0, 3 << 1, 3, 0, 0, 0, 0];

#[test]
fn a_client_is_notified_of_an_unreachable_port() {
    let server = start(2, |_| {});
    let client = PlainClient::allocate_unfragmented(server.address(false));
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    client.permit(gone);
    client.socket.send(&send(gone, b"x", false)).unwrap();
    assert_eq!(receive_data(&client), (gone, Err(NO_PORT.to_vec())));
    // The error has no other effect.
    client.socket.send(&send(echo.address, b"back", false)).unwrap();
    assert_eq!(receive_data(&client), (echo.address, Ok(b"back".to_vec())));
}

/// The relay has a second, connected socket for the peer that gets most of the traffic.
#[test]
fn a_client_is_notified_of_errors_of_a_connected_peer_socket() {
    let server = start(1, |_| {});
    let client = PlainClient::allocate_unfragmented(server.address(false));
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let to = peer.local_addr().unwrap();
    client.permit(to);
    for _ in 0..100 {
        client.socket.send(&send(to, b"x", false)).unwrap();
        peer.recv(&mut [0; 9]).unwrap();
    }
    drop(peer);
    client.socket.send(&send(to, b"x", false)).unwrap();
    assert_eq!(receive_data(&client), (to, Err(NO_PORT.to_vec())));
}

#[test]
fn icmp_errors_are_reported_ten_times_a_second_at_most() {
    let server = start(1, |_| {});
    let client = PlainClient::allocate_unfragmented(server.address(false));
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    client.permit(gone);
    client.bind(0x4000, echo.address);
    let start = std::time::Instant::now();
    let mut errors = 0;
    for _ in 0..2000 {
        client.socket.send(&send(gone, b"x", false)).unwrap();
        // The test waits for the echo, so that nothing is lost before the relay.
        client.socket.send(&channel_data(0x4000, b"x")).unwrap();
        while client.receive()[0] != 0x40 {
            errors += 1;
        }
    }
    let tenths = start.elapsed().as_millis() / 100 + 2;
    let sent = server.relay.metrics();
    assert_eq!(sent.packets_up, 4000, "{sent:?}");
    assert!(!sent.drops.iter().any(|(why, n)| *why == "send_error" && *n > 0), "{sent:?}");
    assert!(errors > 0 && errors <= tenths, "{errors}");
}

/// Runs a test in a network namespace whose only link has an MTU of 1500 bytes.
fn in_a_narrow_network(test: &str, body: impl FnOnce()) {
    if !network::is_allowed() {
        eprintln!("left out: this system lets nobody have a network of their own");
        return;
    }
    network::in_own_network(test, "ip link set lo mtu 1500", body);
}

#[test]
fn packets_with_dont_fragment_are_not_fragmented() {
    in_a_narrow_network("icmp_errors::packets_with_dont_fragment_are_not_fragmented", || {
        let server = start(1, |_| {});
        let client = PlainClient::allocate_unfragmented(server.address(false));
        let echo = Echo::start("127.0.0.1".parse().unwrap());
        client.permit(echo.address);
        let long = vec![7; 2000];
        client.socket.send(&send(echo.address, &long, false)).unwrap();
        assert_eq!(receive_data(&client), (echo.address, Ok(long.clone())));
        client.socket.send(&send(echo.address, &long, true)).unwrap();
        // Fragmentation needed, with the MTU (RFC 1191).
        let too_big = vec![0, 0, 3 << 1, 4, 0, 0, 0x05, 0xDC];
        assert_eq!(receive_data(&client), (echo.address, Err(too_big)));
        client.socket.send(&send(echo.address, &long[..1000], true)).unwrap();
        assert_eq!(receive_data(&client), (echo.address, Ok(long[..1000].to_vec())));
        // The socket still permits fragmentation.
        client.socket.send(&send(echo.address, &long, false)).unwrap();
        assert_eq!(receive_data(&client), (echo.address, Ok(long)));
    });
}
