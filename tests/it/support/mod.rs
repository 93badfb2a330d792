//! A relay on loopback for tests that need no signaling, and an echo peer.

pub(crate) mod plain_client;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use callbox_base::auth::{Secret, TurnSecrets};
use callbox_relay::{self as relay, Config, Relay, StartError};
use callbox_turn::{
    self as turn, Event, PeerPolicy,
    auth::{AccessTokenKey, TurnAuth},
};

pub(crate) const REALM: &str = "test";
pub(crate) const SECRET: &str = "north";
pub(crate) const USER: &str = "static";
pub(crate) const PASSWORD: &str = "pass";

/// The time after which a wait fails the test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn secrets() -> TurnSecrets {
    TurnSecrets::new(&[Secret::new(SECRET)])
}

/// A relay and its events.
pub(crate) struct Server {
    pub relay: Relay,
    pub events: Arc<Mutex<Vec<Event>>>,
}

/// Starts a relay on loopback, IPv4 first, that permits loopback peers.
pub(crate) fn start(workers: usize, change: impl FnOnce(&mut turn::Config)) -> Server {
    start_on(loopback(), None, workers, change).unwrap()
}

fn loopback() -> Vec<SocketAddr> {
    vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]
}

/// Starts a relay with access token keys.
pub(crate) fn start_with_tokens(workers: usize, keys: Vec<AccessTokenKey>) -> Server {
    start_relay(loopback(), None, workers, |_| {}, keys).unwrap()
}

/// Starts a relay on these addresses, with a second one for NAT behaviour discovery.
pub(crate) fn start_on(
    listen: Vec<SocketAddr>,
    alternate_ip: Option<IpAddr>,
    workers: usize,
    change: impl FnOnce(&mut turn::Config),
) -> Result<Server, StartError> {
    start_relay(listen, alternate_ip, workers, change, Vec::new())
}

fn start_relay(
    listen: Vec<SocketAddr>,
    alternate_ip: Option<IpAddr>,
    workers: usize,
    change: impl FnOnce(&mut turn::Config),
    keys: Vec<AccessTokenKey>,
) -> Result<Server, StartError> {
    let nets = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    let mut turn = turn::Config {
        peers: PeerPolicy::new(nets.to_vec(), Vec::new()),
        max_allocations_per_user: 10_000,
        ..turn::Config::default()
    };
    change(&mut turn);
    let users = vec![(USER.to_owned(), Secret::new(PASSWORD))];
    let config = Config {
        listen,
        alternate_ip,
        workers,
        credential_ttl: Duration::from_secs(3600),
        kick_ttl: Duration::from_secs(3600),
        gather: relay::GATHER,
        turn,
        auth: TurnAuth::new(REALM.into(), secrets(), users).with_access_tokens(keys),
    };
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let on_event = Arc::new(move |event| sink.lock().unwrap().push(event));
    Ok(Server { relay: Relay::start(config, on_event)?, events })
}

impl Server {
    /// Returns the address of the IPv4 or of the IPv6 listener.
    pub(crate) fn address(&self, v6: bool) -> SocketAddr {
        self.relay.addresses()[usize::from(v6)]
    }

    /// Waits until there are this many allocations.
    pub(crate) fn wait_for_allocations(&self, wanted: u64) {
        wait_until(&format!("{wanted} allocations"), || self.relay.metrics().allocations == wanted);
    }
}

/// Waits for a condition that another thread brings about.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// A UDP socket that echoes each datagram.
pub(crate) struct Echo {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn start(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let _ = socket.send_to(&buffer[..len], from);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let waker = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        waker.send_to(b"stop", self.address).unwrap();
        let _ = self.thread.take().unwrap().join();
    }
}

/// An Allocate without credentials.
pub(crate) const ALLOCATE: &[u8] =
    b"\x00\x03\x00\x08\x21\x12\xa4\x42transaction!\x00\x19\x00\x04\x11\x00\x00\x00";

/// Returns true if the server answers a Binding request.
pub(crate) fn answers(at: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!", at).unwrap();
    let mut buffer = [0; 100];
    socket.recv(&mut buffer).is_ok_and(|len| len == 32 && buffer[..2] == [1, 1])
}
