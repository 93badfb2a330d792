//! A worker: a thread, an event loop, and a protocol core.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use callbox_base::{
    clock::{Now, TimerQueue},
    ids::{CallId, UserId},
};
use callbox_sys as sys;
use callbox_turn::{
    AllocationId, Common, ConnectionId, Engine, FiveTuple, Metrics, Output, StreamId, Via,
};
use mio::{Events, Interest, Poll, Token, Waker, event::Event, net::UdpSocket};
use rand::{RngCore, TryRngCore, rngs::OsRng};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    OnEvent,
    batches::{Batches, OpenRuns},
    coalesce::Coalescing,
    forwarding::Forwarding,
    hot_peer::HotPeer,
    log_lines::{self, RefusedLog},
    log_throttle::LogThrottle,
    stream::NewStream,
    streams::Streams,
    tcp_allocation::Connections,
    worker_ring::WorkerRings,
};

/// The number of ready sockets that one poll reports.
const EVENTS: usize = 1024;

const WAKER: Token = Token(usize::MAX);

/// A command to a worker.
#[derive(Debug)]
pub(super) enum Command {
    /// Take over a connection.
    Stream(Box<NewStream>),
    /// Forward the datagrams of this client to the worker that has its allocation.
    Forward {
        /// The client.
        tuple: FiveTuple,
        /// The worker's index.
        to: u16,
    },
    /// Stop forwarding the datagrams of this client.
    Forget(FiveTuple),
    /// Close the allocations of a call with these sides.
    EndCall(CallId, Arc<[UserId]>),
    /// Close a user's allocations for a call with these sides that goes on.
    RevokeUser(CallId, UserId, Arc<[UserId]>),
    /// Close a user's allocations.
    Kick(KickOrder),
    /// Judge again what was granted: the machine's addresses have changed.
    AddressesChanged,
    /// Close everything and end.
    Stop,
    /// Panic, for a test.
    #[cfg(any(test, feature = "testing"))]
    Panic,
}

/// The allocations of a user that are to be closed.
#[derive(Debug, Clone)]
pub(super) struct KickOrder {
    pub user: Arc<str>,
    /// Limits the order to the allocations that are for no call or for one of these; `None` means
    /// all.
    pub calls: Option<Arc<[CallId]>>,
    /// The channel on which the worker reports the number of allocations that it has closed.
    pub closed: UnboundedSender<usize>,
}

/// A source that a worker reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Listener(u16),
    Relay(AllocationId),
    Connected(AllocationId),
    Ring(usize),
    Stream(StreamId),
    /// The listener of a TCP allocation.
    TcpRelay(AllocationId),
    Connection(ConnectionId),
}

/// A socket that clients send to.
pub(super) struct Listener {
    pub udp: UdpSocket,
    /// True if it is in [`Worker::ready`].
    ready: bool,
    /// The number of datagrams that it has lost, by its last report.
    pub lost: u32,
}

/// The socket of an allocation.
pub(super) struct RelaySocket {
    pub udp: UdpSocket,
    /// True if the system keeps the ICMP errors of the allocation's sockets.
    pub errors: bool,
    /// True if it is in [`Worker::ready`].
    pub ready: bool,
    pub lost: u32,
    pub runs: OpenRuns,
    pub connected: Option<ConnectedSocket>,
    pub hot_peer: HotPeer,
}

/// A second socket of an allocation, connected to the peer that gets most of its datagrams.
pub(super) struct ConnectedSocket {
    pub udp: UdpSocket,
    pub peer: SocketAddr,
    pub ready: bool,
    pub lost: u32,
}

/// The channel to another worker, and its waker.
pub(super) type Other = (mpsc::Sender<Command>, Arc<Waker>);

/// The parts that a worker is made of.
pub(super) struct Parts {
    pub common: Common,
    /// Its index in the list of workers.
    pub index: u16,
    pub metrics: Arc<Metrics>,
    pub listeners: Vec<UdpSocket>,
    pub poll: Poll,
    pub rings: WorkerRings,
    /// The channels to all workers, by their index.
    pub others: Vec<Other>,
    pub inbox: mpsc::Receiver<Command>,
    pub on_event: OnEvent,
    pub gather: Duration,
    pub max_directs: usize,
}

/// A worker, with everything that it owns.
pub(super) struct Worker {
    pub(super) engine: Engine,
    pub(super) poll: Poll,
    pub(super) index: u16,
    pub(super) listeners: Vec<Listener>,
    /// The socket of each allocation, indexed by its id.
    pub(super) relays: Vec<Option<RelaySocket>>,
    pub(super) rings: WorkerRings,
    pub(super) forwarding: Forwarding,
    /// The number of connected sockets.
    pub(super) directs: usize,
    pub(super) max_directs: usize,
    /// The sources that have not been read to their end. Readiness is reported only once.
    pub(super) ready: Vec<Source>,
    /// The sources that are to be read later.
    pub(super) asleep: TimerQueue<Source>,
    pub(super) streams: Streams,
    pub(super) connections: Connections,
    pub(super) others: Vec<Other>,
    pub(super) batches: Batches,
    /// The number of packets that were relayed in this loop iteration.
    pub(super) relayed: usize,
    coalescing: Coalescing,
    inbox: mpsc::Receiver<Command>,
    on_event: OnEvent,
    pub(super) metrics: Arc<Metrics>,
    pub(super) no_socket: LogThrottle,
    read_error: LogThrottle,
    refused: RefusedLog,
}

/// Creates the waker of a worker.
pub(super) fn waker(poll: &Poll) -> io::Result<Arc<Waker>> {
    Ok(Arc::new(Waker::new(poll.registry(), WAKER)?))
}

impl Worker {
    pub fn new(parts: Parts) -> io::Result<Self> {
        let Parts { common, index, metrics, mut listeners, poll, rings, .. } = parts;
        for (at, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(at), Interest::READABLE)?;
        }
        let mut seed = [0; 32];
        OsRng.unwrap_err().fill_bytes(&mut seed);
        let now = Now::read();
        Ok(Self {
            engine: Engine::new(common.clone(), index, metrics.clone(), seed),
            poll,
            index,
            batches: Batches::new(listeners.len()),
            listeners: listeners
                .into_iter()
                .map(|udp| Listener { udp, ready: false, lost: 0 })
                .collect(),
            relays: Vec::new(),
            rings,
            forwarding: Forwarding::new(common.is_mobile()),
            directs: 0,
            max_directs: parts.max_directs,
            ready: Vec::new(),
            asleep: TimerQueue::default(),
            streams: Streams::default(),
            connections: Connections::default(),
            others: parts.others,
            relayed: 0,
            coalescing: Coalescing::new(now.instant, parts.gather),
            inbox: parts.inbox,
            on_event: parts.on_event,
            metrics,
            no_socket: LogThrottle::default(),
            read_error: LogThrottle::default(),
            refused: RefusedLog::default(),
        })
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// The system's error, if it does not let the worker wait for its sockets.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.pause_to_coalesce();
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            let now = Now::read();
            self.engine.handle_timeout(now);
            self.execute_outputs(now);
            self.check_stream_timers(now);
            self.wake_up(now);
            for event in &events {
                if event.token() == WAKER {
                    if self.run_commands(now) {
                        return Ok(());
                    }
                    // Each is in the list once, however often it is announced.
                    self.ready.retain(|source| !matches!(source, Source::Ring(_)));
                    self.ready.extend(self.rings.incoming().map(Source::Ring));
                } else {
                    self.mark_ready(now, event);
                }
            }
            self.read_ready(now);
            self.send();
            self.close_broken(now);
            self.coalescing.count(now.instant, std::mem::take(&mut self.relayed));
        }
    }

    /// Waits a moment, where that saves wake-ups.
    fn pause_to_coalesce(&mut self) {
        let Some(pause) = self.coalescing.pause().filter(|_| self.ready.is_empty()) else { return };
        let before = self.coalescing.measures().then(sys::thread_time);
        sys::sleep_precisely(pause);
        if let Some(before) = before {
            self.coalescing.measured(sys::thread_time().saturating_sub(before));
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = [self.engine.next_timeout(), self.streams.timers.next(), self.asleep.next()];
        let due = due.into_iter().flatten().min()?;
        // The system counts in whole milliseconds: one is added, so as not to wake too early.
        Some(due.saturating_duration_since(Now::read().instant) + Duration::from_millis(1))
    }

    /// Executes the pending commands. Returns true if the worker is to end.
    fn run_commands(&mut self, now: Now) -> bool {
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Stream(new)) => self.open_stream(now, *new),
                Ok(Command::Forward { tuple, to }) => self.forwarding.forward(tuple, to),
                Ok(Command::Forget(tuple)) => self.forwarding.forget(tuple),
                Ok(Command::EndCall(call, sides)) => self.engine.end_call(call, &sides),
                Ok(Command::RevokeUser(call, user, sides)) => {
                    self.engine.revoke_user(call, user.as_str(), &sides);
                }
                Ok(Command::Kick(order)) => {
                    let closed = self.engine.kick(&order.user, order.calls.as_deref());
                    self.execute_outputs(now);
                    // The caller may not wait for the answer any more.
                    let _ = order.closed.send(closed);
                }
                Ok(Command::AddressesChanged) => self.engine.addresses_changed(),
                #[cfg(any(test, feature = "testing"))]
                Ok(Command::Panic) => panic!("a test asked for this panic"),
                Err(mpsc::TryRecvError::Empty) => break,
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => {
                    self.engine.close_all();
                    self.execute_outputs(now);
                    self.send();
                    self.close_streams(now);
                    return true;
                }
            }
        }
        self.execute_outputs(now);
        false
    }

    /// Reads every ready source for a while, and keeps those that have more.
    fn read_ready(&mut self, now: Now) {
        for at in (0..self.ready.len()).rev() {
            let source = self.ready[at];
            let more = match source {
                Source::Listener(listener) => self.read_listener(now, listener),
                Source::Relay(allocation) => self.read_relay(now, allocation),
                Source::Connected(allocation) => self.read_connected(now, allocation),
                Source::Ring(ring) => self.read_ring(now, ring),
                Source::Stream(id) => self.read_stream(now, id),
                Source::TcpRelay(allocation) => self.accept_peers(now, allocation),
                Source::Connection(id) => self.read_connection(now, id),
            };
            if !more {
                self.ready.swap_remove(at);
                if let Some(ready) = self.ready_flag(source) {
                    *ready = false;
                }
            }
        }
    }

    /// Adds the source of an event to the ready list, once; a stream that has become writable is
    /// written.
    fn mark_ready(&mut self, now: Now, event: &Event) {
        match Connections::of_token(event.token()) {
            Some(Source::Connection(id)) => return self.connection_event(now, id, event),
            Some(source) => return self.add_ready(source),
            None => {}
        }
        if let Some(id) = Streams::of_token(event.token()) {
            if event.is_writable() {
                self.streams.flush_one(id);
                // Reading from its peer may have been paused.
                if let Some(connection) = self.streams.get_mut(id).and_then(|s| s.spliced) {
                    self.add_ready(Source::Connection(connection));
                }
            }
            let mut behind = false;
            if let Some(stream) = self.streams.get_mut(id) {
                stream.ending |= event.is_read_closed() || event.is_error();
                behind = stream.behind;
            }
            if behind || event.is_readable() || event.is_read_closed() || event.is_error() {
                self.add_ready(Source::Stream(id));
            }
            return;
        }
        let Token(token) = event.token();
        let source = match token.checked_sub(self.listeners.len()) {
            Some(at) if at % 2 == 0 => Source::Relay(AllocationId((at / 2) as u32)),
            Some(at) => Source::Connected(AllocationId((at / 2) as u32)),
            None => Source::Listener(token as u16),
        };
        if event.is_error() && self.read_errors(now, source) > 0 {
            self.execute_outputs(now);
        }
        self.add_ready(source);
    }

    pub(super) fn add_ready(&mut self, source: Source) {
        if let Some(ready) = self.ready_flag(source)
            && !std::mem::replace(ready, true)
        {
            self.ready.push(source);
        }
    }

    fn ready_flag(&mut self, source: Source) -> Option<&mut bool> {
        match source {
            Source::Listener(at) => Some(&mut self.listeners.get_mut(usize::from(at))?.ready),
            // It may have been closed since it was reported ready.
            Source::Relay(allocation) => Some(&mut self.relay(allocation)?.ready),
            Source::Connected(allocation) => {
                Some(&mut self.relay(allocation)?.connected.as_mut()?.ready)
            }
            Source::Ring(_) => None,
            Source::Stream(id) => Some(&mut self.streams.get_mut(id)?.ready),
            Source::Connection(id) => self.connections.ready_flag(id),
            Source::TcpRelay(allocation) => self.connections.listener_ready_flag(allocation),
        }
    }

    pub(super) fn relay(&mut self, allocation: AllocationId) -> Option<&mut RelaySocket> {
        self.relays.get_mut(allocation.0 as usize)?.as_mut()
    }

    /// Sends the contents of the batches, to the kernel and to the rings.
    pub(super) fn send(&mut self) {
        self.batches.send(&self.listeners, &self.relays, &self.metrics);
        self.batches.clear();
        self.streams.flush();
        if let Err(error) = self.rings.announce() {
            tracing::error!(%error, "a relay worker cannot be woken");
        }
    }

    /// Logs that a socket could not be read. An ICMP error that is reported by one socket does not
    /// affect the others of its clients.
    pub(super) fn log_read_error(&mut self, now: Now, error: &io::Error) {
        if let Some(times) = self.read_error.hit(now.instant) {
            tracing::warn!(%error, times, "a relay socket could not be read; going on");
        }
    }

    fn respond(&mut self, FiveTuple { via, client }: FiveTuple, bytes: &[u8]) {
        match via {
            Via::Listener(listener) => {
                if !self.batches.respond(listener, client, bytes) {
                    self.batches.send(&self.listeners, &self.relays, &self.metrics);
                    self.batches.respond(listener, client, bytes);
                }
            }
            Via::Stream(_) => {
                let to = FiveTuple { via, client };
                self.streams.queue_to(to, bytes, true, &self.metrics);
            }
        }
    }

    /// Executes what the core requests.
    pub(super) fn execute_outputs(&mut self, now: Now) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { to, bytes } => self.respond(to, &bytes),
                Output::OpenRelay { allocation, address, errors } => {
                    let result = self.open(now, allocation, address, errors);
                    self.engine.relay_opened(now, allocation, result);
                }
                Output::ListenRelay { allocation, address } => {
                    let result = self.listen(now, allocation, address);
                    self.engine.relay_opened(now, allocation, result);
                }
                Output::Connect { allocation, connection, from, to } => {
                    self.connect(now, allocation, connection, from, to);
                }
                Output::Splice { stream, connection } => self.splice(stream, connection),
                Output::CloseConnection { connection, stream } => {
                    self.close_connection(connection, stream);
                }
                Output::CloseRelay { allocation } => self.close(allocation),
                Output::Ended(ended) => log_lines::allocation_ended(now, &ended),
                Output::WrongCredentials { client, user, reason } => {
                    self.refused.write(now, client, user.as_deref(), reason);
                }
                Output::Forget { tuple } => self.stop_forwarding(tuple),
                Output::ReleaseMemory => self.release_memory(),
                Output::Event(event) => (self.on_event)(event),
            }
        }
    }
}
