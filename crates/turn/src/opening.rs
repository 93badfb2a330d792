//! An allocation whose socket is being opened; its client has had no answer.

use std::time::Duration;

use callbox_stun::{ErrorCode, EvenPort, TransactionId};

use super::{AllocationId, FiveTuple, relay_ports::Taken, transport::Transport};
use crate::auth::TurnIdentity;

/// The number of ports that are tried before the server says that it has none: something else on
/// the machine may hold a few of the range.
const MAX_ATTEMPTS: u32 = 16;

/// The ports that an allocation may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Any.
    Any,
    /// One that EVEN-PORT allows.
    Even(EvenPort),
    /// The one that was reserved for it.
    Reserved,
}

impl Wanted {
    /// Returns the EVEN-PORT of the request, if it had one.
    pub(crate) fn even(self) -> Option<EvenPort> {
        match self {
            Self::Even(even) => Some(even),
            Self::Any | Self::Reserved => None,
        }
    }
}

/// An allocation whose socket is being opened.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub tuple: FiveTuple,
    pub identity: TurnIdentity,
    pub transaction: TransactionId,
    pub fingerprint: bool,
    pub lifetime: Duration,
    pub taken: Taken,
    pub transport: Transport,
    pub wanted: Wanted,
    /// The number of ports that have been tried.
    pub attempts: u32,
    /// True if its client is told of ICMP errors.
    pub hears_icmp: bool,
    /// True if its client may move.
    pub mobile: bool,
    /// True if its client is gone.
    pub abandoned: bool,
    pub second_family: SecondFamily,
}

/// The other address of a dual allocation (RFC 8656 §7.2), seen from one that is being opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum SecondFamily {
    /// None was asked for.
    Nothing,
    /// An IPv6 address, once it is known what becomes of this one.
    V6,
    /// The IPv4 address under this id, whose socket is open.
    Opened(AllocationId),
    /// It cannot be had.
    Failed(ErrorCode),
}

impl Opening {
    /// Returns true if another port may be tried instead of one that is in use.
    pub(crate) fn may_try_another(&self) -> bool {
        self.wanted != Wanted::Reserved && self.attempts < MAX_ATTEMPTS && !self.abandoned
    }

    /// Takes another port to try.
    pub(crate) fn try_port(&mut self, port: u16) {
        self.taken.port = port;
        self.attempts += 1;
    }

    /// Takes a port on the other address instead of one that could not be had.
    pub(crate) fn start_over(&mut self, taken: Taken) {
        self.taken = taken;
        self.attempts = 1;
    }

    /// Returns the opening of the IPv6 address of a dual allocation whose IPv4 address, `first`, is
    /// this one.
    pub(crate) fn second(self, first: AllocationId, taken: Taken) -> Self {
        Self { taken, attempts: 1, second_family: SecondFamily::Opened(first), ..self }
    }

    /// Notes why the other address cannot be had: 440 or 508 (RFC 8656 §18.12), whatever limit it
    /// is.
    pub(crate) fn lacks_other(&mut self, code: ErrorCode) {
        self.second_family = SecondFamily::Failed(match code {
            ErrorCode::AddressFamilyNotSupported => code,
            _ => ErrorCode::InsufficientCapacity,
        });
    }
}
