//! Summary of an ended allocation, for logs.

use std::{fmt, sync::Arc, time::Instant};

use callbox_base::{
    ids::{CallId, RelayedAddr},
    usage::Usage,
};

use super::FiveTuple;

/// An allocation that is gone: of a dual one, one of its two addresses.
#[derive(Debug)]
pub struct Ended {
    /// The user who had it.
    pub user: Arc<str>,
    /// The call that its credentials were for.
    pub call: Option<CallId>,
    /// The way to its client at the end.
    pub tuple: FiveTuple,
    /// Its relayed address, by the name that the world knows.
    pub relayed: RelayedAddr,
    /// The time at which it was opened.
    pub opened: Instant,
    /// The bytes that its client has relayed, over both addresses of a dual allocation.
    pub usage: Arc<Usage>,
    /// The reason for its end.
    pub reason: EndReason,
}

/// The reason for the end of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Its client has not refreshed it.
    Expired,
    /// Its client has given it back (RFC 8656 §8.1: a lifetime of 0).
    Released,
    /// Its client's stream is gone.
    Disconnected,
    /// Its call is over.
    CallEnded,
    /// Its user's credentials, for the call or all of them, are refused from now on.
    Revoked,
    /// The server stops.
    Stopped,
    /// A test has asked for it.
    Fault,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Released => "released",
            Self::Disconnected => "disconnected",
            Self::CallEnded => "call_ended",
            Self::Revoked => "revoked",
            Self::Stopped => "stopped",
            Self::Fault => "fault",
        })
    }
}
