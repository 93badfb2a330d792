//! A worker: a thread, an event loop, and an engine. It is composed of parts that own their state;
//! the children of this module do what needs several of them, one subject in each.

mod commands;
mod dont_fragment;
mod events;
mod fault_tasks;
mod faults;
mod forwarding;
mod icmp_errors;
mod outputs;
mod receiving;
mod relay_sockets;
mod splicing;
mod stream_ends;
mod stream_reading;
mod traffic;

use std::{
    io,
    ops::Range,
    sync::{Arc, mpsc},
    time::Duration,
};

use callbox_base::clock::Now;
use callbox_sys as sys;
use callbox_turn::{Common, Engine, Metrics};
use mio::{Events, Poll, Token, Waker, net::UdpSocket};
use rand::{RngCore, TryRngCore, rngs::OsRng};

use super::{
    OnEvent,
    batches::Batches,
    coalesce::Coalescing,
    commands::{AllWorkers, Command, CommandSender},
    forwarding::Forwarding,
    listeners::Listeners,
    log_lines::WorkerLog,
    outage::Outage,
    packet_faults::PacketFaults,
    peer_connections::PeerConnections,
    ready::ReadyList,
    relay_sockets::RelaySockets,
    source::{Source, WAKER},
    streams::Streams,
    worker_ring::WorkerRings,
};

/// The number of ready sockets that one poll reports.
const EVENTS: usize = 1024;

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
    pub all_workers: Vec<CommandSender>,
    pub inbox: mpsc::Receiver<Command>,
    pub on_event: OnEvent,
    pub gather: Duration,
    pub max_connected_sockets: usize,
}

/// A worker, with everything that it owns.
pub(super) struct Worker {
    engine: Engine,
    poll: Poll,
    listeners: Listeners,
    relays: RelaySockets,
    connections: PeerConnections,
    streams: Streams,
    ready: ReadyList,
    batches: Batches,
    rings: WorkerRings,
    forwarding: Forwarding,
    all_workers: AllWorkers,
    inbox: mpsc::Receiver<Command>,
    on_event: OnEvent,
    coalescing: Coalescing,
    metrics: Arc<Metrics>,
    log: WorkerLog,
    /// The faults of relayed packets, while a test wants some.
    packet_faults: Option<Box<PacketFaults>>,
    outage: Outage,
    /// True if the engine tells the steps of traces.
    traces: bool,
}

/// Creates the waker of a worker.
pub(super) fn waker(poll: &Poll) -> io::Result<Arc<Waker>> {
    Ok(Arc::new(Waker::new(poll.registry(), WAKER)?))
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let Parts { common, index, metrics, listeners, poll, rings, .. } = parts;
        let mut seed = [0; 32];
        OsRng.unwrap_err().fill_bytes(&mut seed);
        Ok(Self {
            relays: RelaySockets::new(parts.max_connected_sockets),
            connections: PeerConnections::default(),
            streams: Streams::default(),
            ready: ReadyList::default(),
            batches: Batches::new(listeners.len()),
            listeners: Listeners::new(poll.registry(), listeners)?,
            rings,
            forwarding: Forwarding::new(common.is_mobile()),
            traces: common.is_traced(),
            all_workers: AllWorkers::new(index, parts.all_workers),
            inbox: parts.inbox,
            on_event: parts.on_event,
            coalescing: Coalescing::new(Now::read().instant, parts.gather),
            engine: Engine::new(common, index, metrics.clone(), seed),
            poll,
            metrics,
            log: WorkerLog::default(),
            packet_faults: None,
            outage: Outage::default(),
        })
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// The system's error, if it does not let the worker wait for its sockets.
    pub(crate) fn run(mut self) -> io::Result<()> {
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
            outputs::execute(&mut self, now);
            stream_ends::check_timeouts(&mut self, now);
            fault_tasks::send_due(&mut self, now);
            self.ready.wake(now.instant);
            for event in &events {
                if event.token() != WAKER {
                    events::handle(&mut self, now, event);
                    continue;
                }
                if commands::run_pending(&mut self, now) {
                    return Ok(());
                }
                self.rings.incoming().for_each(|ring| self.ready.add(Source::Ring(ring)));
            }
            self.read_ready(now);
            if self.traces {
                // The first packets of allocations are told beside the packets.
                outputs::execute(&mut self, now);
            }
            self.send();
            stream_ends::close_broken(&mut self, now);
            self.coalescing.end_turn(now.instant);
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
        let held = self.packet_faults.as_ref().and_then(|faults| faults.next_due());
        let (engine, streams) = (self.engine.next_timeout(), self.streams.next_timeout());
        let due = [engine, streams, self.ready.next_wake(), held];
        let due = due.into_iter().flatten().min()?;
        // The system counts in whole milliseconds: one is added, so as not to wake too early.
        Some(due.saturating_duration_since(Now::read().instant) + Duration::from_millis(1))
    }

    /// Reads every ready source for a while, and keeps those that have more.
    fn read_ready(&mut self, now: Now) {
        let is_out = self.outage.is_on(now.instant);
        for index in (0..self.ready.len()).rev() {
            let more = match self.ready.get(index) {
                source if is_out => receiving::discard(self, now, source),
                Source::Listener(listener) => receiving::read_listener(self, now, listener),
                Source::Relay(id) => receiving::read_relay(self, now, id),
                Source::Connected(id) => receiving::read_connected(self, now, id),
                Source::Ring(ring) => receiving::read_ring(self, now, ring),
                Source::Stream(id) => stream_reading::read(self, now, id),
                Source::TcpRelay(id) => splicing::accept_peers(self, now, id),
                Source::Connection(id) => splicing::read_connection(self, now, id),
            };
            if !more {
                self.ready.remove(index);
            }
        }
    }

    /// Returns the token of a source.
    fn token(&self, source: Source) -> Token {
        source.token(self.listeners.len())
    }

    /// Sends the contents of the batches, to the kernel and to the rings.
    fn send(&mut self) {
        self.send_batches();
        self.batches.clear();
        self.streams.flush();
        if let Err(error) = self.rings.announce() {
            tracing::error!(%error, "a relay worker cannot be woken");
        }
    }

    /// Sends the contents of the batches to the kernel. What was received stays.
    fn send_batches(&mut self) {
        self.batches.send(&self.listeners, &self.relays, &self.metrics);
    }

    /// Sends the batches if there is no room for this many reads.
    fn make_room(&mut self, reads: usize) {
        if !self.batches.has_room(reads) {
            self.send();
        }
    }

    /// Returns room for a copy of `len` bytes, with free bytes around it.
    fn spare(&mut self, len: usize) -> Range<usize> {
        self.batches.take_spare(len).unwrap_or_else(|| {
            self.send_batches();
            self.batches.take_spare(len).expect("there is spare room for the largest datagram")
        })
    }
}
