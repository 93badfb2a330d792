//! An allocation whose socket is being opened; its client has had no answer.

use std::time::Duration;

use callbox_stun::{ErrorCode, EvenPort, TransactionId};

use crate::{
    AllocationId, FiveTuple, auth::TurnIdentity, relay_ports::Taken, transport::Transport,
};

/// The number of ports that are tried before the server says that it has none: something else on
/// the machine may hold a few of the range.
const MAX_ATTEMPTS: u32 = 16;

/// The ports that an allocation may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
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

/// The part of an Allocate request that its answer and its allocation need.
#[derive(Debug, Clone)]
pub(crate) struct AllocateRequest {
    pub tuple: FiveTuple,
    pub identity: TurnIdentity,
    pub transaction: TransactionId,
    pub fingerprint: bool,
    /// The lifetime that the client is given.
    pub lifetime: Duration,
    pub transport: Transport,
    pub wanted: Wanted,
    /// True if its client is told of ICMP errors.
    pub hears_icmp: bool,
    /// True if its client may move.
    pub mobile: bool,
}

/// An allocation whose socket is being opened.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    request: AllocateRequest,
    taken: Taken,
    /// The number of ports that have been tried.
    attempts: u32,
    /// True if its client is gone.
    abandoned: bool,
    second_family: SecondFamily,
}

/// The other address of a dual allocation (RFC 8656 §7.2), seen from one that is being opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SecondFamily {
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
    /// Makes the first attempt to open a port that is taken.
    pub(crate) fn new(request: AllocateRequest, taken: Taken, second_family: SecondFamily) -> Self {
        Self { request, taken, attempts: 1, abandoned: false, second_family }
    }

    /// Returns the request that is answered once the socket is open.
    pub(crate) fn request(&self) -> &AllocateRequest {
        &self.request
    }

    /// Returns the port that is tried.
    pub(crate) fn taken(&self) -> Taken {
        self.taken
    }

    /// Returns true if its client is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Returns the state of the other address.
    pub(crate) fn second_family(&self) -> SecondFamily {
        self.second_family
    }

    /// Returns the reason for which the other address cannot be had, if it is so.
    pub(crate) fn missing(&self) -> Option<ErrorCode> {
        match self.second_family {
            SecondFamily::Failed(code) => Some(code),
            SecondFamily::Nothing | SecondFamily::V6 | SecondFamily::Opened(_) => None,
        }
    }

    /// Notes that its client is gone.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Returns true if another port may be tried instead of one that is in use.
    pub(crate) fn may_try_another(&self) -> bool {
        self.request.wanted != Wanted::Reserved && self.attempts < MAX_ATTEMPTS && !self.abandoned
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
