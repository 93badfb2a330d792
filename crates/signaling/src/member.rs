//! The members of calls, sides of a call of two or participants of a room, and the lanes between
//! them.

use callbox_base::ids::{CallId, ParticipantId};

use super::call::Role;

/// A member of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    /// A side of a call of two.
    Side(CallId, Role),
    /// A participant of a room.
    Participant(CallId, ParticipantId),
}

/// The direction from one member of a call to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// From this side to the other.
    From(CallId, Role),
    /// From one participant to another.
    Between(CallId, ParticipantId, ParticipantId),
}

impl Member {
    /// Returns the call.
    pub(crate) fn call(self) -> CallId {
        match self {
            Self::Side(call, _) | Self::Participant(call, _) => call,
        }
    }

    /// Returns the participant id, if it is in a room.
    pub(crate) fn participant(self) -> Option<ParticipantId> {
        match self {
            Self::Side(..) => None,
            Self::Participant(_, id) => Some(id),
        }
    }
}

impl Lane {
    /// Returns the sender.
    pub(crate) fn from(self) -> Member {
        match self {
            Self::From(call, role) => Member::Side(call, role),
            Self::Between(call, from, _) => Member::Participant(call, from),
        }
    }

    /// Returns the receiver.
    pub(crate) fn to(self) -> Member {
        match self {
            Self::From(call, role) => Member::Side(call, role.other()),
            Self::Between(call, _, to) => Member::Participant(call, to),
        }
    }

    /// Returns the opposite direction.
    pub(crate) fn back(self) -> Self {
        match self {
            Self::From(call, role) => Self::From(call, role.other()),
            Self::Between(call, from, to) => Self::Between(call, to, from),
        }
    }
}
