//! The relay over real sockets, with the `turn` crate's client and with bare ones.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use callbox_client::channel_data;
use callbox_turn::Event;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::timeout;
use turn::client::Client;
use webrtc_util::Conn;

use crate::{
    support::{plain_client::PlainClient, *},
    turn_client::turn_client,
};

/// An allocation of the `turn` crate's client.
struct Relayed {
    client: Client,
    conn: Box<dyn Conn + Send + Sync>,
}

async fn allocate(server: &Server, username: &str, password: &str) -> Relayed {
    let at = server.address(false).to_string();
    let client = turn_client(&at, REALM, username, password).await;
    let conn = Box::new(client.allocate().await.unwrap());
    Relayed { client, conn }
}

impl Relayed {
    fn address(&self) -> SocketAddr {
        self.conn.local_addr().unwrap()
    }

    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 2000];
        let (len, from) =
            timeout(DEADLINE, self.conn.recv_from(&mut buffer)).await.unwrap().unwrap();
        buffer.truncate(len);
        (buffer, from)
    }

    async fn close(self) {
        self.conn.close().await.unwrap();
        self.client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_crate_s_client_relays_over_permission_and_channel() {
    let server = start(2, |_| {});
    let echo = Echo::start(IpAddr::from([127, 0, 0, 1]));
    let relayed = allocate(&server, USER, PASSWORD).await;
    let mapped = relayed.client.send_binding_request().await.unwrap();
    assert!(mapped.ip().is_loopback());
    // The client requests a permission with the first datagram, then binds a channel.
    for n in 0..100u8 {
        let payload = vec![n; 1 + usize::from(n)];
        relayed.conn.send_to(&payload, echo.address).await.unwrap();
        assert_eq!(relayed.receive().await, (payload, echo.address));
    }
    relayed.close().await;
    server.wait_for_allocations(0);
    let metrics = server.relay.metrics();
    assert_eq!((metrics.packets_up, metrics.packets_down), (100, 100));
    assert!(metrics.requests.contains(&("ChannelBind", "success", 1)), "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_call_closes_the_allocations_of_both_clients() {
    let server = start(2, |_| {});
    let mut rng = StdRng::seed_from_u64(1);
    let call = CallId::generate(Now::read().unix_ms(), &mut rng);
    let mint = |user: &str| {
        let user = UserId::new(user).unwrap();
        secrets().mint(Now::read(), Duration::from_secs(60), &user, Some(call), &[]).unwrap()
    };
    let (a, b) = (mint("alice"), mint("bob"));
    let alice = allocate(&server, &a.username, &a.password).await;
    let bob = allocate(&server, &b.username, &b.password).await;
    // Bob's permission opens the path; the data that he sends with it may come too early for Alice.
    bob.conn.send_to(b"early", alice.address()).await.unwrap();
    alice.conn.send_to(b"hello", bob.address()).await.unwrap();
    assert_eq!(bob.receive().await, (b"hello".to_vec(), alice.address()));
    bob.conn.send_to(b"hi", alice.address()).await.unwrap();
    let heard = match alice.receive().await {
        (early, _) if early == b"early" => alice.receive().await,
        heard => heard,
    };
    assert_eq!(heard, (b"hi".to_vec(), bob.address()));

    server.relay.end_call(call);
    server.wait_for_allocations(0);
    wait_until("both ends told", || server.events.lock().unwrap().len() == 4);
    let total: u64 = server
        .events
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match event {
            Event::AllocationClosed { call: of, usage } => {
                assert_eq!(*of, call);
                Some(usage.read().0)
            }
            Event::AllocationOpened { .. } | Event::Traced(_) => None,
        })
        .sum();
    assert_eq!(total, 12);
}

/// A flood from one address is answered at a limited rate, and does not delay others.
#[test]
fn a_flood_from_one_address_is_answered_at_a_rate() {
    let server = start(1, |turn| turn.max_unauthenticated_replies = 50);
    let at = server.address(false);
    let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
    for n in 0..5_000 {
        socket.send_to(ALLOCATE, at).unwrap();
        if n % 100 == 99 {
            assert!(answers(at));
        }
    }
    let metrics = server.relay.metrics();
    let challenged = metrics.requests.iter().find(|r| r.0 == "Allocate" && r.1 == "401").unwrap().2;
    let held_back = metrics.drops.iter().find(|d| d.0 == "reply_limit").unwrap().1;
    assert_eq!(challenged + held_back, 5_000);
    assert!(held_back > 4_000, "{challenged} answers");
}

/// An absent peer causes ICMP errors; the allocation continues.
#[tokio::test(flavor = "multi_thread")]
async fn an_icmp_error_does_not_end_the_allocation() {
    let server = start(1, |_| {});
    let echo = Echo::start(IpAddr::from([127, 0, 0, 1]));
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relayed = allocate(&server, USER, PASSWORD).await;
    for n in 0..50u8 {
        relayed.conn.send_to(b"anybody?", closed).await.unwrap();
        relayed.conn.send_to(&[n], echo.address).await.unwrap();
        assert_eq!(relayed.receive().await, (vec![n], echo.address));
    }
    relayed.close().await;
    server.wait_for_allocations(0);
}

#[test]
fn the_port_is_free_again_after_a_stop() {
    let server = start(2, |_| {});
    let at = server.address(false);
    assert!(UdpSocket::bind(at).is_err());
    server.relay.stop();
    UdpSocket::bind(at).unwrap();
}

/// A client sends far more than its allocation may relay: the elapsed time bounds what arrives, in
/// each direction, and the rest is counted.
#[test]
fn the_bandwidth_limit_is_enforced() {
    const RATE: usize = 50_000;
    let server = start(1, |turn| turn.max_bandwidth = RATE as u64);
    send_past_a_limit(&server, RATE as f64 / SIZE as f64, "bandwidth");
}

#[test]
fn the_packet_rate_limit_is_enforced() {
    let server = start(1, |turn| turn.max_packet_rate = 100);
    send_past_a_limit(&server, 100.0, "packet_rate");
}

/// The length of each payload of [`send_past_a_limit`].
const SIZE: usize = 500;

fn send_past_a_limit(server: &Server, packets_per_second: f64, reason: &str) {
    let begin = Instant::now();
    let client = PlainClient::allocate(server.address(false));
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.bind(0x4001, peer.local_addr().unwrap());
    let metrics = || server.relay.metrics();
    let dropped = || metrics().drops.iter().find(|d| d.0 == reason).unwrap().1;
    let mut sent = 0;
    // Sends until a good part has arrived, however fast this machine is.
    while metrics().packets_up < 50 || metrics().packets_down < 50 {
        for _ in 0..16 {
            client.socket.send(&channel_data(0x4001, &[7; SIZE])).unwrap();
            peer.send_to(&[7; SIZE], client.relayed).unwrap();
            sent += 2;
        }
        let seen = || metrics().packets_up + metrics().packets_down + dropped();
        wait_until("the packets that were sent", || seen() == sent);
        assert!(begin.elapsed() < DEADLINE, "{:?}", metrics());
    }
    let most = (begin.elapsed().as_secs_f64() + 1.0) * packets_per_second + 1.0;
    let metrics = metrics();
    for packets in [metrics.packets_up, metrics.packets_down] {
        assert!(packets as f64 <= most, "{packets} packets, of {most}");
    }
    assert!(dropped() > 0);
}
