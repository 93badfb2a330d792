//! The counters of the HTTP side.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use callbox_signaling::{ErrorCode, WireEnum};

/// A number that many tasks change.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The protocol by which a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// Plain WebSocket at `/ws`.
    WebSocket,
    /// Socket.IO at `/socket.io/`.
    SocketIo,
}

impl Front {
    /// Both protocols.
    pub(super) const ALL: [Self; 2] = [Self::WebSocket, Self::SocketIo];

    /// Returns the label of its metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::SocketIo => "socketio",
        }
    }
}

/// The reason why a connection was refused before a request was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The limit of all connections is reached.
    Total,
    /// The limit of connections of its purpose is reached, which keeps files for the other.
    Files,
    /// The limit of connections of its address is reached.
    Address,
    /// The address begins more Socket.IO sessions than it may.
    Handshakes,
}

impl Refusal {
    /// All reasons.
    pub(super) const ALL: [Self; 4] = [Self::Total, Self::Files, Self::Address, Self::Handshakes];

    /// Returns the label of its metric.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Files => "files",
            Self::Address => "address",
            Self::Handshakes => "handshakes",
        }
    }
}

/// The reason why a request was refused, or ended before its answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curb {
    /// Its head has too many fields.
    Fields,
    /// Its address holds as much memory as one may.
    AddressMemory,
    /// The requests hold as much memory as they may in all.
    Memory,
    /// It was ended to make room for others.
    Ended,
    /// It was ended because its answer made no progress.
    Stalled,
}

impl Curb {
    /// All reasons.
    pub(super) const ALL: [Self; 5] =
        [Self::Fields, Self::AddressMemory, Self::Memory, Self::Ended, Self::Stalled];

    /// Returns the label of its metric.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Fields => "fields",
            Self::AddressMemory => "address_memory",
            Self::Memory => "memory",
            Self::Ended => "ended",
            Self::Stalled => "stalled",
        }
    }
}

/// The counters of all connections, requests and sessions.
#[derive(Debug)]
pub(super) struct Counters {
    /// Sessions that ended because their client did not read.
    pub slow_sessions: Count,
    /// TCP connections open now, of any protocol.
    pub connections: Gauge,
    refusals: [Count; Refusal::ALL.len()],
    curbs: [Count; Curb::ALL.len()],
    sessions: [Gauge; Front::ALL.len()],
    bad_frames: [Count; Front::ALL.len()],
    errors: Box<[Count]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            slow_sessions: Count::default(),
            connections: Gauge::default(),
            refusals: Default::default(),
            curbs: Default::default(),
            sessions: Default::default(),
            bad_frames: Default::default(),
            errors: ErrorCode::ALL.iter().map(|_| Count::default()).collect(),
        }
    }
}

impl Counters {
    /// Returns the number of refused connections.
    pub(super) fn refusals(&self, refusal: Refusal) -> &Count {
        &self.refusals[refusal as usize]
    }

    /// Returns the number of requests that were refused, or ended by the server.
    pub(super) fn curbs(&self, curb: Curb) -> &Count {
        &self.curbs[curb as usize]
    }

    /// Returns the number of sessions open now.
    pub(super) fn sessions(&self, front: Front) -> &Gauge {
        &self.sessions[front as usize]
    }

    /// Returns the number of frames that were no messages of the protocol.
    pub(super) fn bad_frames(&self, front: Front) -> &Count {
        &self.bad_frames[front as usize]
    }

    /// Returns the number of refusals by the HTTP side; the hub counts its own.
    pub(super) fn errors(&self, code: ErrorCode) -> &Count {
        &self.errors[code.index()]
    }
}

/// The number of things that exist now.
#[derive(Debug, Default, Clone)]
pub(super) struct Gauge(Arc<AtomicU64>);

/// Counts in a [`Gauge`] as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicU64>);

impl Gauge {
    /// Adds one, until the result is dropped.
    pub(super) fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.0.clone())
    }

    /// Returns the number.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
