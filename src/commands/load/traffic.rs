//! The packets of a run: sent in bursts, received in batches, and timed by what they carry.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::stun::message::{CLASS_INDICATION, METHOD_SEND, Message, MessageType, Setter};
use ::turn::proto::{data::Data, peeraddr::PeerAddress};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use serde::Serialize;

use super::{
    Framing, LoadArgs, Path,
    client::{CHANNEL, Clients},
    histogram::Histogram,
    process::Process,
};
use crate::sys::{ReceiveBatch, SendBatch, Transmit};

/// How many datagrams are received with one call.
const BATCH: usize = 64;

/// The largest datagram that comes back.
const MAX_DATAGRAM: usize = 9000;

/// How long nothing has to come back before what was on the way counts as lost.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long is waited for the last packets.
const LAST_ORDERS: Duration = Duration::from_millis(300);

/// What came of the packets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traffic {
    pub sent: u64,
    pub received: u64,
    pub loss_percent: f64,
    pub packets_per_second: f64,
    pub latency_us: Latency,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_packet: Option<f64>,
}

/// From the sender to the receiver, through the relay.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub median: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Who sends the next burst, and what.
struct Senders {
    /// The socket of each sender: the clients', or the peer's alone.
    from: Vec<usize>,
    /// Where each burst goes; `None` on a connected socket.
    to: Vec<Option<SocketAddr>>,
    /// A burst of each kind of datagram, and where in a datagram its payload stands.
    bursts: Vec<Vec<u8>>,
    datagram: usize,
    payload: usize,
    next: usize,
}

/// Runs the traffic for as long as the arguments say.
pub(super) fn run(
    args: &LoadArgs,
    clients: &mut Clients,
    peer: std::net::UdpSocket,
    process: Option<&Process>,
) -> anyhow::Result<Traffic> {
    let peer_address = peer.local_addr()?;
    let mut sockets = Vec::new();
    for socket in clients.all.iter().map(|client| client.socket.try_clone()).chain([Ok(peer)]) {
        let socket = socket?;
        socket.set_nonblocking(true)?;
        sockets.push(UdpSocket::from_std(socket));
    }
    let peer_at = sockets.len() - 1;
    let mut poll = Poll::new()?;
    let receivers = if args.path == Path::Up { peer_at..peer_at + 1 } else { 0..peer_at };
    for at in receivers {
        poll.registry().register(&mut sockets[at], Token(at), Interest::READABLE)?;
    }
    let mut senders = Senders::new(args, clients, peer_address)?;
    let header = receiver_header(args);
    let mut batch = SendBatch::default();
    let mut incoming = ReceiveBatch::new(BATCH, MAX_DATAGRAM, 0);
    let mut events = Events::with_capacity(1024);
    let mut latencies = Histogram::new();
    let (mut sent, mut received, mut given_up) = (0, 0, 0);
    let progress = progress();

    let cpu_before = process.map(Process::cpu).transpose()?;
    let started = Instant::now();
    let mut heard = started;
    let mut shown = started;
    loop {
        let now = Instant::now();
        let elapsed = now - started;
        let sending = elapsed < args.duration;
        if !sending
            && (sent == received + given_up
                || now - heard > LAST_ORDERS
                || elapsed > args.duration + 4 * LAST_ORDERS)
        {
            break;
        }
        let mut may_send = || match args.rate {
            Some(rate) => (elapsed.as_secs_f64() * rate as f64) as u64 > sent,
            None => {
                if sent > received + given_up && now - heard > PATIENCE {
                    given_up = sent - received;
                    heard = now;
                }
                sent.saturating_sub(received + given_up) < args.window
            }
        };
        let mut busy = false;
        if sending && may_send() {
            sent += senders.burst(args, &sockets, &mut batch, started)?;
            busy = true;
        }
        let wait = if busy { Duration::ZERO } else { Duration::from_millis(1) };
        // With an open rate the next burst may be due sooner than the system can wake us.
        let wait = if args.rate.is_some_and(|rate| rate > 2000) { Duration::ZERO } else { wait };
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let socket = &sockets[event.token().0];
            while let Ok(count) = incoming.receive(socket) {
                heard = Instant::now();
                let at = heard - started;
                for bytes in (0..count).map(|slot| incoming.bytes(slot)) {
                    let Some(stamp) = bytes.get(header..).and_then(|b| b.first_chunk()) else {
                        continue;
                    };
                    received += 1;
                    latencies
                        .add(at.saturating_sub(Duration::from_nanos(u64::from_be_bytes(*stamp))));
                }
                if count < BATCH {
                    break;
                }
            }
        }
        if now - shown > Duration::from_millis(200) {
            shown = now;
            let rate = received as f64 / elapsed.as_secs_f64();
            progress.set_message(format!("{received} packets, {rate:.0} a second"));
        }
    }
    let took = started.elapsed().min(args.duration);
    progress.finish_and_clear();
    let cpu = match (cpu_before, process) {
        (Some(before), Some(process)) => Some(process.cpu()?.saturating_sub(before)),
        _ => None,
    };
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    Ok(Traffic {
        sent,
        received,
        loss_percent: 100.0 * sent.saturating_sub(received) as f64 / sent.max(1) as f64,
        packets_per_second: received as f64 / took.as_secs_f64(),
        latency_us: Latency {
            median: micros(latencies.quantile(0.5)),
            p90: micros(latencies.quantile(0.9)),
            p99: micros(latencies.quantile(0.99)),
            max: micros(latencies.max()),
        },
        cpu_us_per_packet: cpu.map(|cpu| micros(cpu) / received.max(1) as f64),
    })
}

/// What stands before the payload of a datagram that comes out of the relay.
fn receiver_header(args: &LoadArgs) -> usize {
    match (args.path, args.framing) {
        (Path::Up, _) => 0,
        (_, Framing::Channel) => 4,
        // A Data indication: header, XOR-PEER-ADDRESS, and the header of DATA.
        (_, Framing::Indication) => 20 + 4 + if args.server.is_ipv4() { 8 } else { 20 } + 4,
    }
}

impl Senders {
    fn new(args: &LoadArgs, clients: &Clients, peer: SocketAddr) -> anyhow::Result<Self> {
        let count = clients.all.len();
        let relayed = |at: usize| clients.all[at % count].relayed;
        let (from, to): (Vec<_>, Vec<_>) = match args.path {
            Path::Down => (0..count).map(|at| (count, Some(relayed(at)))).unzip(),
            Path::Up | Path::Clients => (0..count).map(|at| (at, None)).unzip(),
        };
        let datagram = |at: usize| match args.path {
            Path::Down => Ok((vec![0; args.size], 0)),
            Path::Up => framed(args, peer),
            Path::Clients => framed(args, relayed(at + 1)),
        };
        let (first, payload) = datagram(0)?;
        let mut bursts = Vec::with_capacity(count);
        for at in 0..count {
            bursts.push(datagram(at)?.0.repeat(args.burst));
        }
        Ok(Self { from, to, bursts, datagram: first.len(), payload, next: 0 })
    }

    /// Sends one burst; gives how many packets that were.
    fn burst(
        &mut self,
        args: &LoadArgs,
        sockets: &[UdpSocket],
        batch: &mut SendBatch,
        started: Instant,
    ) -> anyhow::Result<u64> {
        let at = self.next;
        self.next = (at + 1) % self.from.len();
        let stamp = (started.elapsed().as_nanos() as u64).to_be_bytes();
        let burst = &mut self.bursts[at];
        for packet in burst.chunks_mut(self.datagram) {
            packet[self.payload..self.payload + 8].copy_from_slice(&stamp);
        }
        if args.gso {
            batch.push(Transmit::run(self.to[at], 0, burst.len(), self.datagram));
        } else {
            for n in 0..args.burst {
                batch.push(Transmit::one(self.to[at], n * self.datagram, self.datagram));
            }
        }
        match batch.send(&sockets[self.from[at]], burst) {
            Ok(_) if args.gso => Ok(args.burst as u64),
            Ok(count) => Ok(count as u64),
            // The buffer is full: the server is behind.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error).context("the load cannot send"),
        }
    }
}

/// A datagram from a client to the server with an empty payload, and where that stands.
fn framed(args: &LoadArgs, to: SocketAddr) -> anyhow::Result<(Vec<u8>, usize)> {
    if args.framing == Framing::Channel {
        let mut bytes = vec![0; 4 + args.size];
        bytes[..2].copy_from_slice(&CHANNEL.to_be_bytes());
        bytes[2..4].copy_from_slice(&(args.size as u16).to_be_bytes());
        return Ok((bytes, 4));
    }
    let mut message = Message::new();
    message.typ = MessageType { method: METHOD_SEND, class: CLASS_INDICATION };
    message.write_header();
    message.new_transaction_id()?;
    PeerAddress { ip: to.ip(), port: to.port() }.add_to(&mut message)?;
    let payload = message.raw.len() + 4;
    Data(vec![0; args.size]).add_to(&mut message)?;
    Ok((message.raw, payload))
}

/// A line on the terminal that lives; nothing where there is none.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
