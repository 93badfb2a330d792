//! `--relay-policy signaled` with real sockets and both fronts: the addresses that stolen
//! credentials of a call can reach.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
};

use callbox_client::channel_data;
use serde_json::{Value, json};

use crate::{
    common::{Server, websocket::Client},
    support::{DEADLINE, plain_client::PlainClient},
};

/// A socket that packets may reach. On Linux each 127.x.y.z is an address of this machine.
struct Peer(UdpSocket);

impl Peer {
    fn on(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn receives(&self, payload: &[u8]) -> SocketAddr {
        let mut buffer = [0; 100];
        let (len, from) = self.0.recv_from(&mut buffer).expect("a datagram before the deadline");
        assert_eq!(&buffer[..len], payload);
        from
    }

    fn has_received_nothing(&self) {
        self.0.set_nonblocking(true).unwrap();
        let error = self.0.recv(&mut [0; 100]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

/// Opens an allocation with the credentials in a payload.
fn allocate(server: &Server, data: &Value) -> PlainClient {
    let (username, password) = crate::common::turn_credentials(data);
    let at = server.turn().parse().unwrap();
    PlainClient::allocate_as(at, server.text("/realm"), &username, &password)
}

fn host_candidate(ip: &str) -> Value {
    let line = format!("candidate:1 1 udp 2122260223 {ip} 54321 typ host generation 0 ufrag EsAw");
    json!({ "candidate": { "candidate": line, "sdpMid": "0", "sdpMLineIndex": 0 } })
}

/// Lets Alice call Bob, who accepts; returns both clients and the payload of each.
async fn call(server: &Server) -> (Client, Client, Value, Value) {
    let mut alice = Client::sign_in(server, "alice").await;
    let mut bob = Client::sign_in(server, "bob").await;
    let about = json!({ "targetUserId": "bob", "callType": "video" });
    let initiated = alice.request("call:initiate", about).await;
    let incoming = bob.event("call:incoming").await;
    bob.request("call:accept", json!({})).await;
    (alice, bob, initiated, incoming)
}

const NO_PERMISSION: &str = "callbox_drops_total{reason=\"no_permission\"}";

#[tokio::test(flavor = "multi_thread")]
async fn stolen_credentials_reach_only_addresses_that_the_other_side_announced() {
    let server = Server::with(&["--relay-policy", "signaled"]);
    let (mut alice, mut bob, initiated, incoming) = call(&server).await;
    let (inner, announced) = (Peer::on("127.0.0.2"), Peer::on("127.0.0.3"));
    // Anyone who has the credentials can allocate.
    let thief = allocate(&server, &initiated);
    for peer in [&inner, &announced] {
        assert_eq!(thief.try_permit(peer.address()), Some(403));
        assert_eq!(thief.try_bind(0x4001, peer.address()), Some(403));
        thief.send(peer.address(), b"through");
        thief.socket.send(&channel_data(0x4001, b"through")).unwrap();
    }
    server.wait_for_metric(NO_PERMISSION, |dropped| dropped == 2.0);
    // Addresses that Alice announces do not open for her own credentials.
    alice.request("ice:candidate", host_candidate("127.0.0.2")).await;
    assert_eq!(thief.try_permit(inner.address()), Some(403));

    // Once Alice is notified of the address, it is open to her: the first attempt must succeed.
    bob.request("ice:candidate", host_candidate("127.0.0.3")).await;
    alice.event("ice:candidate").await;
    assert_eq!(thief.try_bind(0x4001, announced.address()), None);
    thief.socket.send(&channel_data(0x4001, b"hello")).unwrap();
    assert_eq!(announced.receives(b"hello"), thief.relayed);
    announced.0.send_to(b"hi", thief.relayed).unwrap();
    assert_eq!(thief.receive(), channel_data(0x4001, b"hi"));
    assert_eq!(thief.try_permit(inner.address()), Some(403));

    // The opposite direction, with an address from a description.
    let bobs = allocate(&server, &incoming);
    let described = Peer::on("127.0.0.4");
    assert_eq!(bobs.try_permit(described.address()), Some(403));
    let sdp = "v=0\r\na=candidate:1 1 udp 1 127.0.0.4 9 typ srflx raddr 127.0.0.5 rport 9\r\n";
    alice.request("signal:offer", json!({ "sdp": { "type": "offer", "sdp": sdp } })).await;
    bob.event("signal:offer").await;
    assert_eq!(bobs.try_permit(described.address()), None);
    bobs.send(described.address(), b"hello");
    assert_eq!(described.receives(b"hello"), bobs.relayed);
    assert_eq!(bobs.try_permit(Peer::on("127.0.0.5").address()), Some(403));

    // The end of the call revokes all of it.
    alice.request("call:end", json!({})).await;
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
    inner.has_received_nothing();
}

/// Relayed addresses of this server are announced only once they exist, and other programs have
/// ports on the same machine.
#[tokio::test(flavor = "multi_thread")]
async fn only_relayed_addresses_of_the_server_can_be_reached() {
    let server = Server::with(&["--relay-policy", "signaled"]);
    let (_alice, _bob, initiated, incoming) = call(&server).await;
    let (alice, bob) = (allocate(&server, &initiated), allocate(&server, &incoming));
    assert_eq!(alice.try_bind(0x4001, bob.relayed), None);
    assert_eq!(bob.try_bind(0x4002, alice.relayed), None);
    alice.socket.send(&channel_data(0x4001, b"hello")).unwrap();
    assert_eq!(bob.receive(), channel_data(0x4002, b"hello"));
    // --dev allows loopback, but the call has not announced this address.
    let other = Peer::on("127.0.0.1");
    assert_eq!(alice.relayed.ip(), other.address().ip());
    assert_eq!(alice.try_bind(0x4003, other.address()), Some(403));
    alice.send(other.address(), b"through");
    server.wait_for_metric(NO_PERMISSION, |dropped| dropped == 1.0);
    other.has_received_nothing();
}

/// The credentials of a welcome are for gathering candidates, not for sending to other addresses.
#[tokio::test(flavor = "multi_thread")]
async fn the_credentials_of_a_welcome_reach_addresses_announced_in_the_user_s_calls() {
    let server = Server::with(&["--relay-policy", "signaled"]);
    let (alice, mut bob, ..) = call(&server).await;
    let eve = Client::sign_in(&server, "eve").await;
    let (alices, eves) = (allocate(&server, &alice.welcome), allocate(&server, &eve.welcome));
    let peer = Peer::on("127.0.0.2");
    for client in [&alices, &eves] {
        assert_eq!(client.try_bind(0x4001, peer.address()), Some(403));
        assert_eq!(client.try_permit(peer.address()), Some(403));
    }
    // They reach each other, as clients that test their relays do.
    assert_eq!(alices.try_bind(0x4002, eves.relayed), None);
    // Bob announces an address to Alice, who has not announced any herself.
    bob.request("ice:candidate", host_candidate("127.0.0.2")).await;
    assert_eq!(alices.try_bind(0x4001, peer.address()), None);
    alices.socket.send(&channel_data(0x4001, b"hello")).unwrap();
    assert_eq!(peer.receives(b"hello"), alices.relayed);
    assert_eq!(eves.try_bind(0x4001, peer.address()), Some(403));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_policy_binds_credentials_to_no_peers() {
    let peer = Peer::on("127.0.0.2");
    let server = Server::start();
    let (_alice, _bob, initiated, _) = call(&server).await;
    assert_eq!(allocate(&server, &initiated).try_bind(0x4001, peer.address()), None);
}
