//! What the HTTP side counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use callbox_signaling::{ErrorCode, WireEnum};

use super::exchange::End;

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
    /// There are as many of its kind as leave files for the others.
    Files,
    /// The address has as many as one may have.
    Address,
    /// The address begins more Socket.IO sessions than it may.
    Handshakes,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Total, Self::Files, Self::Address, Self::Handshakes];

    /// The label of its metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Files => "files",
            Self::Address => "address",
            Self::Handshakes => "handshakes",
        }
    }
}

/// Why a request was refused, or ended before its answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curb {
    /// Its head has too many fields.
    Fields,
    /// Its address holds as much memory as one may.
    AddressMemory,
    /// Requests hold as much memory as they may in all.
    Memory,
    /// It was ended to make room for others.
    Ended,
    /// It was ended because its answer made no progress.
    Stalled,
}

impl Curb {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Fields, Self::AddressMemory, Self::Memory, Self::Ended, Self::Stalled];

    /// The label of its metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fields => "fields",
            Self::AddressMemory => "address_memory",
            Self::Memory => "memory",
            Self::Ended => "ended",
            Self::Stalled => "stalled",
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
    /// Connections turned away.
    pub fn refusals(&self, refusal: Refusal) -> &Count {
        &self.refusals[refusal as usize]
    }

    /// Requests refused, or ended from outside.
    pub fn curbs(&self, curb: Curb) -> &Count {
        &self.curbs[curb as usize]
    }

    /// Those that were ended.
    pub fn ended_requests(&self, end: End) -> &Count {
        self.curbs(match end {
            End::Stalled => Curb::Stalled,
            End::Memory => Curb::Ended,
        })
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
