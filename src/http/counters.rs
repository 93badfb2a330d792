//! What the HTTP side counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::signaling::{ErrorCode, Word};

/// A number that many tasks change.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which way a client came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// Plain WebSocket at `/ws`.
    WebSocket,
    /// Socket.IO at `/socket.io/`.
    SocketIo,
}

impl Front {
    /// Both.
    pub const ALL: [Self; 2] = [Self::WebSocket, Self::SocketIo];

    /// The label of its metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::SocketIo => "socketio",
        }
    }
}

/// Why a connection was turned away before a request was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many connections as may be.
    Total,
    /// The address has as many as one may have.
    Address,
    /// The address begins more Socket.IO sessions than it may.
    Handshakes,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Total, Self::Address, Self::Handshakes];

    /// The label of its metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
            Self::Handshakes => "handshakes",
        }
    }
}

/// All the counters.
#[derive(Debug)]
pub(super) struct Counters {
    /// Sessions that ended because their client did not read.
    pub slow_sessions: Count,
    /// TCP connections open now, whoever serves them.
    pub connections: Gauge,
    refusals: [Count; Refusal::ALL.len()],
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
            sessions: Default::default(),
            bad_frames: Default::default(),
            errors: ErrorCode::ALL.iter().map(|_| Count::default()).collect(),
        }
    }
}

impl Counters {
    /// Connections turned away.
    pub fn refusals(&self, refusal: Refusal) -> &Count {
        &self.refusals[refusal as usize]
    }

    /// Sessions open now.
    pub fn sessions(&self, front: Front) -> &Gauge {
        &self.sessions[front as usize]
    }

    /// Frames that were no messages of the protocol.
    pub fn bad_frames(&self, front: Front) -> &Count {
        &self.bad_frames[front as usize]
    }

    /// Refusals by the fronts; the hub counts its own.
    pub fn errors(&self, code: ErrorCode) -> &Count {
        &self.errors[code.index()]
    }
}

/// How many of something there are now.
#[derive(Debug, Default, Clone)]
pub(super) struct Gauge(Arc<AtomicU64>);

/// One of what a [`Gauge`] counts; it is counted as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicU64>);

impl Gauge {
    /// One more, until the result is dropped.
    pub fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.0.clone())
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
