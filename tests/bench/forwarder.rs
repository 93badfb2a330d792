//! A bare UDP forwarder: the minimal work of a relay, as a baseline.
//!
//! It opens a socket to the peer for each client, and forwards datagrams both ways, unchanged:
//! without authentication, permissions, headers or limits except for the number of clients.
//!
//! ```console
//! $ cargo run --release --example forwarder -- --listen 127.0.0.1:0 --peer 127.0.0.1:4000
//! $ callbox load --framing none --server ADDRESS --peer-port 4000
//! ```
//!
//! By default it makes two system calls for each packet. With `--batch` it receives and sends many
//! packets with one call, and runs of packets as one. Linux only, one thread.

#![allow(missing_docs)]

#[cfg(not(target_os = "linux"))]
fn main() {
    panic!("the forwarder needs Linux: it is made of epoll and batches");
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::HashMap,
        io,
        net::{SocketAddr, UdpSocket},
    };

    use callbox_sys::{ReceiveBatch, SendBatch, enable_gro};
    use clap::Parser;
    use rustix::{
        buffer::spare_capacity,
        event::epoll,
        fd::OwnedFd,
        net::{RecvFlags, SendFlags, recvfrom, sendto, sockopt},
    };

    /// The maximum number of clients.
    const CLIENTS: usize = 4096;

    /// The number of datagrams that are read from the listener before the other sockets are served.
    const BURST: usize = 64;

    /// The same for the socket of a client.
    const BURST_BACK: usize = 8;

    /// The maximum number of ready sockets per call of epoll.
    const EVENTS: usize = 1024;

    /// The requested buffer sizes of the listener, as for a relay.
    const BUFFER: usize = 4 << 20;

    /// The epoll data of the listener. Those of the clients are their indices.
    const LISTENER: u64 = u64::MAX;

    /// Forward UDP from many clients to one peer, and back.
    #[derive(Parser)]
    struct Args {
        /// The address for clients.
        #[arg(long, value_name = "IP:PORT")]
        listen: SocketAddr,

        /// The destination of all packets.
        #[arg(long, value_name = "IP:PORT")]
        peer: SocketAddr,

        /// Many packets with one system call (recvmmsg, sendmmsg), runs whole (UDP_GRO,
        /// UDP_SEGMENT).
        #[arg(long)]
        batch: bool,
    }

    /// A client and the socket that represents it to the peer.
    struct Client {
        at: SocketAddr,
        upstream: UdpSocket,
        /// The number of datagrams to read at a time, and the round in which it was read last.
        reads: usize,
        round: u64,
    }

    struct Forwarder {
        peer: SocketAddr,
        epoll: OwnedFd,
        listener: UdpSocket,
        clients: Vec<Client>,
        by_address: HashMap<SocketAddr, usize>,
        gro: bool,
        /// The number of calls of epoll.
        round: u64,
    }

    pub(crate) fn main() -> io::Result<()> {
        let args = Args::parse();
        let listener = UdpSocket::bind(args.listen)?;
        // A smaller buffer is no error.
        sockopt::set_socket_recv_buffer_size(&listener, BUFFER)?;
        sockopt::set_socket_send_buffer_size(&listener, BUFFER)?;
        let address = listener.local_addr()?;
        let mut forwarder = Forwarder {
            peer: args.peer,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            listener,
            clients: Vec::new(),
            by_address: HashMap::new(),
            gro: args.batch,
            round: 0,
        };
        forwarder.watch(&forwarder.listener, LISTENER)?;
        println!("{}", serde_json::json!({ "listen": address, "pid": std::process::id() }));
        if args.batch { forwarder.run(Batches::new()) } else { forwarder.run(Plain::new()) }
    }

    /// A method of receiving packets from one socket and sending them from others.
    trait Carry {
        fn up(&mut self, forwarder: &mut Forwarder);
        fn down(&mut self, forwarder: &mut Forwarder, client: usize);
    }

    impl Forwarder {
        fn run(&mut self, mut carry: impl Carry) -> io::Result<()> {
            let mut events = Vec::with_capacity(EVENTS);
            loop {
                events.clear();
                self.round += 1;
                match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                    Err(rustix::io::Errno::INTR) => continue,
                    result => result?,
                };
                for event in &events {
                    match event.data.u64() {
                        LISTENER => carry.up(self),
                        client => carry.down(self, client as usize),
                    }
                }
            }
        }

        /// Watches a socket, level-triggered: data that is left in it is reported again.
        fn watch(&self, socket: &UdpSocket, name: u64) -> io::Result<()> {
            if self.gro {
                enable_gro(socket)?;
            }
            let name = epoll::EventData::new_u64(name);
            Ok(epoll::add(&self.epoll, socket, name, epoll::EventFlags::IN)?)
        }

        /// Returns the index of the client at an address. A new one gets a socket while there is
        /// room.
        fn client(&mut self, at: SocketAddr) -> Option<usize> {
            if let Some(known) = self.by_address.get(&at) {
                return Some(*known);
            }
            if self.clients.len() == CLIENTS {
                return None;
            }
            let local = SocketAddr::new(self.listener.local_addr().ok()?.ip(), 0);
            let upstream = UdpSocket::bind(local).ok()?;
            let name = self.clients.len();
            self.watch(&upstream, name as u64).ok()?;
            self.clients.push(Client { at, upstream, reads: 1, round: 0 });
            self.by_address.insert(at, name);
            Some(name)
        }
    }

    /// One packet, two system calls.
    struct Plain {
        buffer: Box<[u8; 65_536]>,
    }

    impl Plain {
        fn new() -> Self {
            Self { buffer: Box::new([0; 65_536]) }
        }

        fn receive(&mut self, socket: &UdpSocket) -> Option<(usize, SocketAddr)> {
            let (_, len, source) =
                recvfrom(socket, &mut self.buffer[..], RecvFlags::DONTWAIT).ok()?;
            Some((len, source?.try_into().ok()?))
        }

        /// Sends a packet, or drops it if the system refuses it.
        fn send(&self, socket: &UdpSocket, len: usize, to: SocketAddr) {
            let _ = sendto(socket, &self.buffer[..len], SendFlags::DONTWAIT, &to);
        }
    }

    impl Carry for Plain {
        fn up(&mut self, forwarder: &mut Forwarder) {
            for _ in 0..BURST {
                let Some((len, source)) = self.receive(&forwarder.listener) else { return };
                if let Some(client) = forwarder.client(source) {
                    self.send(&forwarder.clients[client].upstream, len, forwarder.peer);
                }
            }
        }

        /// Reads once for each event, since most often there is one packet, and a read without
        /// result costs half of what a packet does. A socket that is ready again at once has
        /// bursts: one more packet is read from it each time, as long as there are more.
        fn down(&mut self, forwarder: &mut Forwarder, client: usize) {
            let client = &mut forwarder.clients[client];
            if client.round + 1 == forwarder.round {
                client.reads = (client.reads * 2).min(BURST_BACK);
            }
            client.round = forwarder.round;
            for done in 0..client.reads {
                let Some((len, _)) = self.receive(&client.upstream) else {
                    client.reads = done.max(1);
                    return;
                };
                self.send(&forwarder.listener, len, client.at);
            }
        }
    }

    /// Many packets with one call, and runs of them as one.
    struct Batches {
        from_clients: ReceiveBatch,
        from_peer: ReceiveBatch,
        outgoing: SendBatch,
    }

    /// The maximum number of runs per call from the listener, and from a client's socket.
    const RUNS: usize = 32;
    const RUNS_BACK: usize = 8;

    impl Batches {
        fn new() -> Self {
            Self {
                from_clients: ReceiveBatch::new(RUNS, 65_536, 0, 0),
                from_peer: ReceiveBatch::new(RUNS_BACK, 65_536, 0, 0),
                outgoing: SendBatch::default(),
            }
        }
    }

    impl Carry for Batches {
        fn up(&mut self, forwarder: &mut Forwarder) {
            let Ok(count) = self.from_clients.receive(&forwarder.listener, 0..RUNS) else { return };
            for slot in 0..count {
                let Some(received) = self.from_clients.received(slot) else { continue };
                let Some(client) = forwarder.client(received.source) else { continue };
                // Each client has a socket of its own, and its run is one message for it.
                self.outgoing.push(
                    Some(forwarder.peer),
                    received.class,
                    received.bytes,
                    received.segment,
                );
                let upstream = &forwarder.clients[client].upstream;
                let _ = self.outgoing.send(upstream, self.from_clients.buffer());
            }
        }

        fn down(&mut self, forwarder: &mut Forwarder, client: usize) {
            let Client { at, upstream, .. } = &forwarder.clients[client];
            let Ok(count) = self.from_peer.receive(upstream, 0..RUNS_BACK) else { return };
            for slot in 0..count {
                let Some(received) = self.from_peer.received(slot) else { continue };
                self.outgoing.push(Some(*at), received.class, received.bytes, received.segment);
                let _ = self.outgoing.send(&forwarder.listener, self.from_peer.buffer());
            }
        }
    }
}
