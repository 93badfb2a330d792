//! The counters of a worker. One worker writes, anybody reads, so that no bus-locked addition is
//! paid for a packet.

use std::sync::atomic::{AtomicU64, Ordering};

use callbox_stun::{ErrorCode, Method};

use super::{DropReason, StreamEnd};

/// The number of results that a method can have: success and each error code.
const RESULTS: usize = 1 + ErrorCode::ALL.len();

/// A number that one thread adds to and others read.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    #[inline]
    fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one worker. The worker writes, and any thread reads them by [`Snapshot::of`].
#[derive(Debug, Default)]
pub struct Metrics {
    opened: Counter,
    closed: Counter,
    packets_up: Counter,
    bytes_up: Counter,
    packets_down: Counter,
    bytes_down: Counter,
    drops: [Counter; DropReason::ALL.len()],
    requests: [[Counter; RESULTS]; Method::ALL.len()],
    /// Streams opened and closed, plain ones and those under TLS.
    streams_opened: [Counter; 2],
    streams_closed: [Counter; 2],
    stream_ends: [Counter; StreamEnd::ALL.len()],
    connections_opened: Counter,
    connections_closed: Counter,
}

impl Metrics {
    #[inline]
    pub(super) fn relayed_up(&self, bytes: usize) {
        self.packets_up.add(1);
        self.bytes_up.add(bytes as u64);
    }

    #[inline]
    pub(super) fn relayed_down(&self, bytes: usize) {
        self.packets_down.add(1);
        self.bytes_down.add(bytes as u64);
    }

    pub(super) fn allocation_opened(&self) {
        self.opened.add(1);
    }

    pub(super) fn allocation_closed(&self) {
        self.closed.add(1);
    }

    /// Counts a dropped datagram. Only the worker that owns these counters may call it.
    #[inline]
    pub fn dropped(&self, reason: DropReason) {
        self.dropped_many(reason, 1);
    }

    /// Counts `count` dropped datagrams. Only the worker that owns these counters may call it.
    #[inline]
    pub fn dropped_many(&self, reason: DropReason, count: usize) {
        self.drops[reason as usize].add(count as u64);
    }

    /// Counts a stream that a client has opened.
    pub fn stream_opened(&self, tls: bool) {
        self.streams_opened[usize::from(tls)].add(1);
    }

    /// Counts a stream that goes on with another worker, which counts it as opened again.
    pub fn stream_moved(&self, tls: bool) {
        self.streams_closed[usize::from(tls)].add(1);
    }

    /// Counts a stream that is closed.
    pub fn stream_closed(&self, tls: bool, end: StreamEnd) {
        self.streams_closed[usize::from(tls)].add(1);
        self.stream_ends[end as usize].add(1);
    }

    pub(super) fn connection_opened(&self) {
        self.connections_opened.add(1);
    }

    pub(super) fn connection_closed(&self) {
        self.connections_closed.add(1);
    }

    pub(super) fn answered(&self, method: Method, result: Result<(), ErrorCode>) {
        let result = match result {
            Ok(()) => 0,
            Err(code) => 1 + ErrorCode::ALL.iter().position(|c| *c == code).unwrap_or(0),
        };
        self.requests[method.index()][result].add(1);
    }
}

/// All counters at one moment, summed over workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Allocations that are open; a dual one counts twice, as it does against the limits.
    pub allocations: u64,
    /// Allocations ever opened.
    pub allocations_opened: u64,
    /// Datagrams relayed from clients to peers.
    pub packets_up: u64,
    /// Their payload, in bytes.
    pub bytes_up: u64,
    /// Datagrams relayed from peers to clients.
    pub packets_down: u64,
    /// Their payload, in bytes.
    pub bytes_down: u64,
    /// Streams of clients that are open: over TCP, and over TLS.
    pub streams: [u64; 2],
    /// Streams that have ended, by reason.
    pub stream_ends: Vec<(&'static str, u64)>,
    /// Connections to peers, of allocations that relay TCP, that are open or being made.
    pub peer_connections: u64,
    /// Dropped datagrams, by reason.
    pub drops: Vec<(&'static str, u64)>,
    /// Answers by method and result: `success` or the error code.
    pub requests: Vec<(&'static str, &'static str, u64)>,
}

impl Snapshot {
    /// Reads and sums the counters of all workers.
    pub fn of<'a>(workers: impl Iterator<Item = &'a Metrics> + Clone) -> Self {
        let sum = |read: &dyn Fn(&Metrics) -> u64| workers.clone().map(read).sum::<u64>();
        let closed = sum(&|m| m.closed.get());
        let opened = sum(&|m| m.opened.get());
        let disconnected = sum(&|m| m.connections_closed.get());
        let connected = sum(&|m| m.connections_opened.get());
        let drops = DropReason::ALL.map(|r| (r.label(), sum(&|m| m.drops[r as usize].get())));
        let results = || std::iter::once("success").chain(ErrorCode::ALL.map(ErrorCode::label));
        // A Send indication has no answer.
        let answered = Method::ALL.into_iter().filter(|m| *m != Method::Send);
        let requests = answered
            .flat_map(|method| results().enumerate().map(move |(at, result)| (method, at, result)));
        Self {
            allocations: opened.saturating_sub(closed),
            allocations_opened: opened,
            packets_up: sum(&|m| m.packets_up.get()),
            bytes_up: sum(&|m| m.bytes_up.get()),
            packets_down: sum(&|m| m.packets_down.get()),
            bytes_down: sum(&|m| m.bytes_down.get()),
            streams: [0, 1].map(|tls| {
                // In this order, so that none is counted as closed that is not counted as opened.
                let closed = sum(&|m| m.streams_closed[tls].get());
                sum(&|m| m.streams_opened[tls].get()).saturating_sub(closed)
            }),
            stream_ends: StreamEnd::ALL
                .map(|end| (end.label(), sum(&|m| m.stream_ends[end as usize].get())))
                .to_vec(),
            peer_connections: connected.saturating_sub(disconnected),
            drops: drops.to_vec(),
            requests: requests
                .map(|(method, at, result)| {
                    (method.label(), result, sum(&|m| m.requests[method.index()][at].get()))
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_own_place() {
        for (at, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        for (at, end) in StreamEnd::ALL.into_iter().enumerate() {
            assert_eq!(end as usize, at);
        }
        for (at, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method.index(), at);
        }
    }

    #[test]
    fn a_snapshot_sums_the_workers() {
        let workers = [Metrics::default(), Metrics::default()];
        workers[0].answered(Method::Allocate, Err(ErrorCode::Unauthorized));
        workers[1].answered(Method::Allocate, Err(ErrorCode::Unauthorized));
        workers[1].answered(Method::Binding, Ok(()));
        workers[0].relayed_up(100);
        workers[1].dropped(DropReason::NoChannel);
        let snapshot = Snapshot::of(workers.iter());
        assert!(snapshot.requests.contains(&("Allocate", "401", 2)));
        assert!(snapshot.requests.contains(&("Binding", "success", 1)));
        assert!(snapshot.drops.contains(&("no_channel", 1)));
        assert_eq!((snapshot.packets_up, snapshot.bytes_up), (1, 100));
    }
}
