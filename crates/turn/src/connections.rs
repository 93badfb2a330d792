//! Connections to peers, of allocations that relay TCP (RFC 6062).
//!
//! A connection is made by a Connect request, or by a peer that comes to the relayed address. The
//! client is told its number, and has 30 seconds to bind it to a stream of its own; from then on
//! the two are one. What the peer sends before waits in the system's buffers.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use callbox_base::{deadline::Deadline, ids::PeerAddr};
use callbox_stun::TransactionId;
use rand::Rng;
use slab::Slab;

use super::{
    AllocationId, ConnectionId, StreamId,
    timers::{Timer, Timers},
};
use crate::auth::LongTermKey;

/// The longest time that a peer may take to be connected to, and a client to bind a connection
/// (RFC 6062 §5.2, §5.3: 30 s).
const PATIENCE: Duration = Duration::from_secs(30);

/// The number of bits of a connection's number that name its worker; the others are random.
const WORKER_BITS: u32 = 10;

/// The largest number of workers of a server: each has a name in the numbers of connections.
pub const MAX_WORKERS: usize = 1 << WORKER_BITS;

/// A connection to a peer.
#[derive(Debug)]
pub(super) struct Connection {
    allocation: AllocationId,
    peer: PeerAddr,
    number: u32,
    state: State,
    due: Deadline,
}

/// The state of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// The system connects; the client's request waits for it.
    Connecting(ConnectRequest),
    /// The client knows its number.
    Unbound,
    /// It is spliced with a stream.
    Bound(StreamId),
}

/// The part of a Connect request that its answer needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectRequest {
    pub transaction: TransactionId,
    pub fingerprint: bool,
    pub key: LongTermKey,
}

impl Connection {
    pub(crate) fn allocation(&self) -> AllocationId {
        self.allocation
    }

    pub(crate) fn peer(&self) -> PeerAddr {
        self.peer
    }

    /// Returns the number by which the client knows it.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns the request that waits for it, while the system connects.
    pub(crate) fn pending_request(&self) -> Option<ConnectRequest> {
        match self.state {
            State::Connecting(request) => Some(request),
            State::Unbound | State::Bound(_) => None,
        }
    }

    /// Returns true if a client may bind it.
    pub(crate) fn is_unbound(&self) -> bool {
        matches!(self.state, State::Unbound)
    }

    /// Returns the stream that it is spliced with.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        match self.state {
            State::Bound(stream) => Some(stream),
            State::Connecting(_) | State::Unbound => None,
        }
    }

    /// Notes that the connection is made: its client has its time to bind it from `now`.
    pub(crate) fn establish(&mut self, id: ConnectionId, now: Instant, timers: &mut Timers) {
        self.state = State::Unbound;
        self.due.set(now + PATIENCE, timers, Timer::Connection(id));
    }

    /// Notes the stream that it is spliced with; nothing is due from now on.
    pub(crate) fn bind(&mut self, id: ConnectionId, stream: StreamId, timers: &mut Timers) {
        self.state = State::Bound(stream);
        self.due.clear(timers, Timer::Connection(id));
    }
}

/// The connections of a worker.
#[derive(Debug)]
pub(super) struct Connections {
    /// The worker's index, which is in the number of each connection.
    worker: u16,
    all: Slab<Connection>,
    by_number: HashMap<u32, ConnectionId>,
}

impl Connections {
    pub(crate) fn new(worker: u16) -> Self {
        Self { worker, all: Slab::new(), by_number: HashMap::new() }
    }

    /// Returns the index of the worker that has the connection with a number.
    pub(crate) fn worker_of(number: u32) -> u16 {
        (number >> (u32::BITS - WORKER_BITS)) as u16
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.all.get(id.0 as usize)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(id.0 as usize)
    }

    /// Returns the connection that a client knows by this number.
    pub(crate) fn find(&self, number: u32) -> Option<ConnectionId> {
        self.by_number.get(&number).copied()
    }

    /// Returns every connection.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.all.iter().map(|(id, _)| ConnectionId(id as u32)).collect()
    }

    /// Adds a connection, with a number that cannot be guessed. Returns its name.
    pub(crate) fn insert(
        &mut self,
        rng: &mut impl Rng,
        now: Instant,
        allocation: AllocationId,
        peer: PeerAddr,
        state: State,
        timers: &mut Timers,
    ) -> ConnectionId {
        let number = loop {
            let random = rng.random::<u32>() >> WORKER_BITS;
            let number = u32::from(self.worker) << (u32::BITS - WORKER_BITS) | random;
            if self.find(number).is_none() {
                break number;
            }
        };
        let entry = self.all.vacant_entry();
        let id = ConnectionId(entry.key() as u32);
        let mut due = Deadline::default();
        due.set(now + PATIENCE, timers, Timer::Connection(id));
        entry.insert(Connection { allocation, peer, number, state, due });
        self.by_number.insert(number, id);
        id
    }

    /// Removes a connection that is closed.
    pub(crate) fn remove(&mut self, id: ConnectionId, timers: &mut Timers) -> Option<Connection> {
        let mut connection = self.all.try_remove(id.0 as usize)?;
        connection.due.clear(timers, Timer::Connection(id));
        self.by_number.remove(&connection.number);
        Some(connection)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.all.len(), self.by_number.len());
        self.all.len()
    }
}
