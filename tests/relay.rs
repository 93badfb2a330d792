//! The relay over real sockets, with the `turn` crate's client and with bare ones.

mod support;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use callbox::{
    clock::Now,
    ids::{CallId, UserId},
    turn::Event,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use support::*;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

/// An allocation of the `turn` crate's client.
struct Relayed {
    client: Client,
    conn: Box<dyn Conn + Send + Sync>,
}

async fn allocate(server: &Server, username: &str, password: &str) -> Relayed {
    let at = server.address(false).to_string();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(ClientConfig {
        stun_serv_addr: at.clone(),
        turn_serv_addr: at,
        username: username.into(),
        password: password.into(),
        realm: REALM.into(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    })
    .await
    .unwrap();
    client.listen().await.unwrap();
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
async fn the_turn_crate_s_client_goes_the_whole_way() {
    let server = start(2, |_| {});
    let echo = Echo::start(IpAddr::from([127, 0, 0, 1]));
    let relayed = allocate(&server, USER, PASSWORD).await;
    let mapped = relayed.client.send_binding_request().await.unwrap();
    assert!(mapped.ip().is_loopback());
    // The client asks for a permission with the first datagram, then binds a channel.
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
async fn two_clients_of_the_server_talk_and_the_call_s_end_cuts_them_off() {
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
    // Bob opens the way; what he sends with it comes too early for Alice, who has not.
    bob.conn.send_to(b"early", alice.address()).await.unwrap();
    alice.conn.send_to(b"hello", bob.address()).await.unwrap();
    assert_eq!(bob.receive().await, (b"hello".to_vec(), alice.address()));
    bob.conn.send_to(b"hi", alice.address()).await.unwrap();
    assert_eq!(alice.receive().await, (b"hi".to_vec(), bob.address()));

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
            Event::AllocationOpened { .. } => None,
        })
        .sum();
    assert_eq!(total, 12);
}

/// A million datagrams: pure noise, real requests with bytes changed, cut and lengthened, and
/// ChannelData that lies. The server goes on answering, and its memory stays where it was.
#[test]
fn a_million_mutated_datagrams_leave_no_trace() {
    const SEEDS: [&[u8]; 4] = [
        b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!",
        b"\x00\x03\x00\x08\x21\x12\xa4\x42transaction!\x00\x19\x00\x04\x11\x00\x00\x00",
        b"\x00\x16\x00\x18\x21\x12\xa4\x42transaction!\x00\x12\x00\x08\x00\x01\x21\x13\x5e\x12\xa4\x43\x00\x13\x00\x05hello\x00\x00\x00",
        b"\x40\x00\x00\x04data",
    ];
    let server = start(1, |_| {});
    let at = server.address(false);
    let mut rng = StdRng::seed_from_u64(7);
    let sockets: Vec<_> = (0..16).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut flood = |count: usize| {
        for n in 0..count {
            let mut bytes = if rng.random_ratio(1, 4) {
                let mut noise = vec![0; rng.random_range(0..200)];
                rng.fill(&mut noise[..]);
                noise
            } else {
                SEEDS[rng.random_range(0..SEEDS.len())].to_vec()
            };
            for _ in 0..rng.random_range(0..4) {
                if !bytes.is_empty() {
                    let place = rng.random_range(0..bytes.len());
                    bytes[place] = rng.random();
                }
            }
            if rng.random_ratio(1, 8) {
                bytes.truncate(rng.random_range(0..=bytes.len()));
            }
            sockets[n % sockets.len()].send_to(&bytes, at).unwrap();
            if n % 256 == 255 {
                // As fast as the server reads, and no faster: none is lost on the way to it.
                assert!(answers(at), "after {n} datagrams");
            }
        }
    };
    flood(50_000);
    let before = resident();
    flood(1_000_000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes more");
    assert_eq!(server.relay.metrics().allocations_opened, 0);
    let seen: u64 = server.relay.metrics().drops.iter().map(|(_, n)| n).sum();
    assert!(seen > 500_000, "only {seen} were dropped");
}

/// Whether the server answers a Binding request.
fn answers(at: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!", at).unwrap();
    let mut buffer = [0; 100];
    socket.recv(&mut buffer).is_ok_and(|len| len == 32 && buffer[..2] == [1, 1])
}

#[test]
fn the_port_is_free_again_after_a_stop() {
    let server = start(2, |_| {});
    let at = server.address(false);
    assert!(UdpSocket::bind(at).is_err());
    server.relay.stop();
    UdpSocket::bind(at).unwrap();
}
