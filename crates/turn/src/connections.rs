//! Connections to peers, of allocations that relay TCP (RFC 6062).
//!
//! A connection is made by a Connect request, or by a peer that comes to the relayed address. The client
//! is told its number, and has 30 seconds to bind it to a stream of its own; from then on the two are
//! one. What the peer sends before waits in the system's buffers.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{ErrorCode, Method, ResponseBuilder, TransactionId};
use rand::Rng;
use slab::Slab;

use super::{
    AllocationId, Common, Engine, FiveTuple, Output, StreamId,
    allocation::{Allocation, Transport},
    engine::Timer,
    rate::Direction,
};
use crate::auth::{LongTermKey, TurnIdentity};

/// Names a connection to a peer within its worker. A name is used again once the connection is
/// closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// How long a peer may take to be connected to, and a client to bind a connection (RFC 6062 §5.2,
/// §5.3: 30 s).
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// How many bits of a connection's number name its worker; the others are random.
const WORKER_BITS: u32 = 10;

/// The largest number of workers of a server: each has a name in the numbers of connections.
pub const MAX_WORKERS: usize = 1 << WORKER_BITS;

/// A connection to a peer.
#[derive(Debug)]
pub(super) struct Connection {
    pub allocation: AllocationId,
    pub peer: PeerAddr,
    /// Its name on the wire.
    pub number: u32,
    pub state: State,
    /// When its time is over, unless it is bound.
    pub due: Instant,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// The system connects; the client's request waits for it.
    Connecting { transaction: TransactionId, fingerprint: bool, key: LongTermKey },
    /// The client knows its number.
    Unbound,
    /// It is one with a stream.
    Bound(StreamId),
}

/// The connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub all: Slab<Connection>,
    by_number: HashMap<u32, ConnectionId>,
}

impl Connections {
    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.all.get(id.0 as usize)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(id.0 as usize)
    }

    /// The connection that a client knows by this number.
    pub fn find(&self, number: u32) -> Option<ConnectionId> {
        self.by_number.get(&number).copied()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.by_number.is_empty()
    }
}

impl Engine {
    /// Returns the place of the worker that has a connection, by the number that a client knows it
    /// by.
    pub fn connection_worker(number: u32) -> u16 {
        (number >> (u32::BITS - WORKER_BITS)) as u16
    }

    /// The connections of an allocation.
    pub(super) fn connections_of(&self, id: AllocationId) -> Vec<ConnectionId> {
        self.open_ref(id).map(|allocation| allocation.connections.clone()).unwrap_or_default()
    }

    /// Enters a connection, with a number that cannot be guessed.
    pub(super) fn add_connection(
        &mut self,
        now: Now,
        allocation: AllocationId,
        peer: PeerAddr,
        state: State,
    ) -> Result<ConnectionId, ErrorCode> {
        // Each is a socket, as a channel's peer may be one's only peer.
        let max = self.common.config.max_channels;
        let owner = self.open_ref(allocation)?;
        if owner.connections.len() >= max {
            return Err(ErrorCode::InsufficientCapacity);
        }
        self.common.shared.take_connection(&owner.owner.user)?;
        self.metrics.connection_opened();
        let number = loop {
            let random = self.rng.random::<u32>() >> WORKER_BITS;
            let number = u32::from(self.worker) << (u32::BITS - WORKER_BITS) | random;
            if self.connections.find(number).is_none() {
                break number;
            }
        };
        let due = now.instant + PATIENCE;
        let connection = Connection { allocation, peer, number, state, due };
        let id = ConnectionId(self.connections.all.insert(connection) as u32);
        self.connections.by_number.insert(number, id);
        self.open_mut(allocation)?.connections.push(id);
        self.timers.set(due, Timer::Connection(id));
        Ok(id)
    }

    /// Takes in the outcome of [`Output::Connect`]: `made` is true if the connection is open. The
    /// client is answered now. Does nothing for a connection that has been closed in the meantime.
    pub fn connected(&mut self, now: Now, id: ConnectionId, made: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let State::Connecting { transaction, fingerprint, key } = connection.state else { return };
        let (allocation, number) = (connection.allocation, connection.number);
        if !made {
            self.refuse_connect(id, ErrorCode::ConnectionTimeoutOrFailure);
            return;
        }
        // The client has 30 seconds from when it is told.
        let before = std::mem::replace(&mut connection.due, now.instant + PATIENCE);
        connection.state = State::Unbound;
        let due = connection.due;
        self.timers.reset(before, due, Timer::Connection(id));
        let Ok(Allocation { tuple, .. }) = self.open_ref(allocation) else { return };
        let response = ResponseBuilder::success_to(Method::Connect, transaction, fingerprint);
        let bytes = response.connection_id(number).finish(Some(key.expose()));
        let to = *tuple;
        self.answer(to, Method::Connect, Ok(()), bytes);
    }

    /// Answers a Connect whose connection did not come to be, and forgets it.
    pub(super) fn refuse_connect(&mut self, id: ConnectionId, code: ErrorCode) {
        let Some(connection) = self.connections.get(id) else { return };
        if let State::Connecting { transaction, fingerprint, key } = connection.state
            && let Ok(Allocation { tuple, .. }) = self.open_ref(connection.allocation)
        {
            let response =
                ResponseBuilder::error_to(Method::Connect, transaction, fingerprint, code);
            let bytes = response.finish(Some(key.expose()));
            let to = *tuple;
            self.answer(to, Method::Connect, Err(code), bytes);
        }
        self.close_connection(id);
    }

    /// Ends those of the connections whose peers may be reached on open relayed ports alone by now, as
    /// `is_restricted` says of an allocation's owner and a peer's address, and are at none.
    pub(super) fn end_connections(
        &mut self,
        connections: Vec<ConnectionId>,
        is_restricted: impl Fn(&Common, &TurnIdentity, IpAddr) -> bool,
    ) {
        for id in connections {
            let Some(Connection { allocation, peer, .. }) = self.connections.get(id) else {
                continue;
            };
            let Ok(Allocation { owner, .. }) = self.open_ref(*allocation) else { continue };
            let common = &self.common;
            if is_restricted(common, owner, peer.0.ip())
                && !common.relayed.contains(common.addresses.to_wire(*peer), Transport::Tcp)
            {
                self.refuse_connect(id, ErrorCode::Forbidden);
            }
        }
    }

    /// Takes in a connection that a peer has made to the relayed address of an allocation. Returns
    /// its name, or `None` if the peer has no permission or there are too many: then close it at
    /// once (RFC 6062 §5.3).
    pub fn peer_connected(
        &mut self,
        now: Now,
        id: AllocationId,
        source: SocketAddr,
    ) -> Option<ConnectionId> {
        let peer = self.common.addresses.from_wire(source);
        let allocation = self.open_ref(id).ok()?;
        let permission = allocation.permissions.get(&peer.0.ip())?;
        // Of our own addresses only relayed ones are peers, here as everywhere.
        if allocation.transport != Transport::Tcp
            || permission.is_for_relayed() && !self.common.relayed.contains(source, Transport::Tcp)
        {
            return None;
        }
        let tuple: FiveTuple = allocation.tuple;
        let connection = self.add_connection(now, id, peer, State::Unbound).ok()?;
        let number = self.connections.get(connection)?.number;
        let transaction = TransactionId(self.rng.random());
        let bytes = ResponseBuilder::connection_attempt(transaction, peer.0, number);
        self.outputs.push_back(Output::Transmit { to: tuple, bytes });
        Some(connection)
    }

    /// Returns the time from which on bytes may go over a connection in a direction, if a limit
    /// holds them back until then. `None` if nothing does.
    pub fn connection_free_at(&self, id: ConnectionId, direction: Direction) -> Option<Instant> {
        let connection = self.connections.get(id)?;
        self.open_ref(connection.allocation).ok()?.limits.free_at(direction)
    }

    /// Counts `bytes` that went over a connection in a direction, for its limits and its usage.
    pub fn relayed_by_connection(
        &self,
        now: Now,
        id: ConnectionId,
        direction: Direction,
        bytes: usize,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        let Ok(allocation) = self.open_ref(connection.allocation) else { return };
        allocation.limits.charge(direction, now.instant, bytes);
        match direction {
            Direction::Up => {
                allocation.usage.add_up(bytes);
                self.metrics.relayed_up(bytes);
            }
            Direction::Down => {
                allocation.usage.add_down(bytes);
                self.metrics.relayed_down(bytes);
            }
        }
    }

    /// Time is over for a connection that nobody has bound.
    pub(super) fn connection_expired(&mut self, id: ConnectionId) {
        self.refuse_connect(id, ErrorCode::ConnectionTimeoutOrFailure);
    }

    /// Forgets a connection and has it closed with its stream. To be called when the peer has
    /// closed it; does nothing if the connection is gone already.
    pub fn close_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.all.try_remove(id.0 as usize) else { return };
        if let Ok(allocation) = self.open_ref(connection.allocation) {
            self.common.shared.release_connection(&allocation.owner.user);
        }
        self.metrics.connection_closed();
        self.connections.by_number.remove(&connection.number);
        self.timers.clear(connection.due, Timer::Connection(id));
        if let Ok(allocation) = self.open_mut(connection.allocation) {
            allocation.connections.retain(|other| *other != id);
        }
        let stream = match connection.state {
            State::Bound(stream) => Some(stream),
            _ => None,
        };
        if let Some(stream) = stream.and_then(|s| self.streams.get_mut(s.0 as usize)) {
            stream.connection = None;
        }
        self.outputs.push_back(Output::CloseConnection { connection: id, stream });
    }

    /// Whether a connection is the user's to bind.
    pub(super) fn may_bind(&self, id: ConnectionId, identity: &TurnIdentity) -> bool {
        self.connections.get(id).is_some_and(|connection| {
            matches!(connection.state, State::Unbound)
                && self
                    .open_ref(connection.allocation)
                    .is_ok_and(|allocation| allocation.owner.username == identity.username)
        })
    }
}
