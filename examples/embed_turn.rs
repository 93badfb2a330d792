//! A TURN server on `std::net::UdpSocket` around the library `callbox-turn`: one thread, one
//! listener, one socket for each allocation, and no async runtime.
//!
//! ```console
//! $ cargo run --example embed_turn -- 127.0.0.1:3478 alice:secret
//! listening on 127.0.0.1:3478
//! $ turnutils_uclient -y -u alice -w secret -p 3478 127.0.0.1    # coturn's client, in another terminal
//! ```
//!
//! The address must be one of this machine's, since relayed addresses are opened on it; port 0
//! takes any free port. The library decides everything; a program around it moves bytes, in four
//! steps that repeat:
//!
//! 1. wait until a socket can be read or [`Engine::next_timeout`] is due;
//! 2. hand over the time ([`Engine::handle_timeout`]) and each datagram ([`Engine::handle_client`]
//!    for the listener, [`Engine::handle_peer`] for an allocation's socket);
//! 3. send the datagram on if the verdict says so;
//! 4. carry out what [`Engine::poll_output`] gives, until it gives nothing.
//!
//! A server for the public needs more than fits here: a listener of TCP and TLS, several workers,
//! and batches of datagrams for each system call. `crates/relay` has all that around the same
//! library.

use std::{
    collections::HashMap,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use callbox_turn::{
    AllocationId, ClientAddr, Common, Config, DropReason, Engine, FiveTuple, FromClient, FromPeer,
    HEADROOM, IpNet, Metrics, Now, OpenError, Output, Packet, PeerPolicy, Secret, TurnSecrets, Via,
    auth::TurnAuth,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const USAGE: &str = "usage: embed_turn ADDRESS:PORT USER:PASSWORD";

/// The longest datagram with room on both sides for headers.
const BUFFER: usize = HEADROOM + u16::MAX as usize + HEADROOM;

/// The sockets, and the core that decides about their datagrams.
struct Server {
    engine: Engine,
    metrics: Arc<Metrics>,
    listener: UdpSocket,
    relays: HashMap<AllocationId, UdpSocket>,
}

/// A socket that can be read.
#[derive(Clone, Copy)]
enum Source {
    Listener,
    Relay(AllocationId),
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, credentials] = &arguments[..] else { anyhow::bail!(USAGE) };
    let address: SocketAddr = address.parse().context(USAGE)?;
    let (user, password) = credentials.split_once(':').context(USAGE)?;
    ensure!(!address.ip().is_unspecified(), "give one of this machine's addresses, not {address}");
    let listener = bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    Server::new(listener, address, user, password).run()
}

fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Server {
    fn new(listener: UdpSocket, address: SocketAddr, user: &str, password: &str) -> Self {
        // Peers on this machine are refused unless they are allowed here. A server on loopback has
        // no others.
        let own = address.ip().is_loopback().then(|| IpNet::from(address.ip()));
        let config = Config {
            peers: PeerPolicy::new(own.into_iter().collect(), Vec::new()),
            // The standard library cannot set the flag "don't fragment" of a datagram.
            dont_fragment: false,
            ..Config::default()
        };
        let users = vec![(user.to_owned(), Secret::new(password))];
        let auth = TurnAuth::new("embedded".to_owned(), TurnSecrets::default(), users);
        let common = Common::new(config, auth, vec![address]);
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::new(common, 0, metrics.clone(), StdRng::from_os_rng().random());
        Self { engine, metrics, listener, relays: HashMap::new() }
    }

    fn run(mut self) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let ready = self.wait()?;
            let now = Now::read();
            self.engine.handle_timeout(now);
            self.carry_out(now);
            for source in ready {
                self.read(now, source, &mut buffer);
                self.carry_out(now);
            }
        }
    }

    /// Waits for datagrams or for the next timer; returns the readable sockets.
    fn wait(&self) -> Result<Vec<Source>> {
        let relays = self.relays.iter().map(|(id, socket)| (Source::Relay(*id), socket));
        let (sources, mut polled): (Vec<_>, Vec<_>) =
            std::iter::once((Source::Listener, &self.listener))
                .chain(relays)
                .map(|(source, socket)| (source, PollFd::new(socket, PollFlags::IN)))
                .unzip();
        let due = self.engine.next_timeout();
        let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
        let wait = wait.map(Timespec::try_from).transpose()?;
        match poll(&mut polled, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for datagrams"),
        }
        let ready = sources.into_iter().zip(&polled).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(source, _)| source).collect())
    }

    /// Reads one datagram and forwards it; its header is added or removed in the same buffer.
    fn read(&mut self, now: Now, source: Source, buffer: &mut [u8]) {
        let socket = match source {
            Source::Listener => &self.listener,
            // It may have been closed since it was found readable.
            Source::Relay(id) => match self.relays.get(&id) {
                Some(socket) => socket,
                None => return,
            },
        };
        let room = HEADROOM..buffer.len() - HEADROOM;
        let (length, from) = match socket.recv_from(&mut buffer[room]) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => return eprintln!("cannot read a datagram: {error}"),
        };
        let mut packet = Packet::new(buffer, HEADROOM..HEADROOM + length);
        let verdict = match source {
            Source::Relay(id) => self.engine.handle_peer(now, id, from, &mut packet),
            Source::Listener => {
                let tuple = FiveTuple { via: Via::Listener(0), client: ClientAddr(from) };
                match self.engine.handle_client(now, tuple, &mut packet) {
                    FromClient::Forward { allocation, to, .. } => {
                        if let Some(relay) = self.relays.get(&allocation) {
                            self.send(relay, packet.bytes(), to);
                        }
                        return;
                    }
                    // The peer is another allocation of this server.
                    FromClient::HandOver(way) => self.engine.handle_relayed(now, way, &mut packet),
                    // A request, which an output answers; or a dropped datagram, which is counted.
                    FromClient::Handled | FromClient::Dropped(_) => return,
                }
            }
        };
        if let FromPeer::Forward { to } = verdict {
            self.send(&self.listener, packet.bytes(), to.client.0);
        }
    }

    /// Sends a datagram. If the system refuses it, it is lost, as any datagram may be.
    fn send(&self, socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
        match socket.send_to(bytes, to) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.metrics.dropped(DropReason::SendBufferFull);
            }
            Err(_) => self.metrics.dropped(DropReason::SendError),
        }
    }

    /// Carries out the outputs of the core in their order.
    fn carry_out(&mut self, now: Now) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { to, bytes } => self.send(&self.listener, &bytes, to.client.0),
                Output::OpenRelay { allocation, address, .. } => {
                    let result = match bind(address) {
                        Ok(socket) => {
                            self.relays.insert(allocation, socket);
                            Ok(())
                        }
                        Err(error) if error.kind() == ErrorKind::AddrInUse => {
                            Err(OpenError::AddressInUse)
                        }
                        Err(_) => Err(OpenError::System),
                    };
                    self.engine.relay_opened(now, allocation, result);
                }
                Output::CloseRelay { allocation } => {
                    self.relays.remove(&allocation);
                }
                // TCP allocations are given to clients with a stream, of which there are none here.
                Output::ListenRelay { allocation, .. } => {
                    self.engine.relay_opened(now, allocation, Err(OpenError::System));
                }
                Output::Connect { connection, .. } => self.engine.connected(now, connection, false),
                Output::Splice { .. } | Output::CloseConnection { .. } => {}
                Output::Ended(ended) => {
                    let (up, down) = ended.usage.read();
                    let (user, relayed, reason) = (&ended.user, ended.relayed, ended.reason);
                    println!("{relayed} of {user} {reason}: {up} bytes up, {down} down");
                }
                // Anyone can cause any number of these: log a few at most.
                Output::WrongCredentials { .. } => {}
                // For servers with several workers, much memory, or calls.
                Output::Forget { .. } | Output::ReleaseMemory | Output::Event(_) => {}
            }
        }
    }
}
