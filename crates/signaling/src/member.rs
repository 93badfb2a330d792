//! The members of calls, sides of a call of two or participants of a room, and the lanes between them.

use callbox_base::ids::{CallId, ParticipantId};

use super::{
    call::{Calls, Journal, Party, Role},
    rooms::Rooms,
};

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
    pub fn call(self) -> CallId {
        match self {
            Self::Side(call, _) | Self::Participant(call, _) => call,
        }
    }

    /// Returns the participant id, if it is in a room.
    pub fn participant(self) -> Option<ParticipantId> {
        match self {
            Self::Side(..) => None,
            Self::Participant(_, id) => Some(id),
        }
    }

    /// Returns the member, if its call is live.
    pub fn find<'a>(self, calls: &'a Calls, rooms: &'a Rooms) -> Option<&'a Party> {
        match self {
            Self::Side(call, role) => Some(&calls.get(call)?.parties[role]),
            Self::Participant(call, id) => Some(&rooms.get(call)?.participants.get(&id)?.party),
        }
    }

    /// Returns the member to be changed, if its call is live.
    pub fn find_mut<'a>(self, calls: &'a mut Calls, rooms: &'a mut Rooms) -> Option<&'a mut Party> {
        match self {
            Self::Side(call, role) => Some(&mut calls.get_mut(call)?.parties[role]),
            Self::Participant(call, id) => {
                Some(&mut rooms.get_mut(call)?.participants.get_mut(&id)?.party)
            }
        }
    }
}

impl Lane {
    /// Returns the sender.
    pub fn from(self) -> Member {
        match self {
            Self::From(call, role) => Member::Side(call, role),
            Self::Between(call, from, _) => Member::Participant(call, from),
        }
    }

    /// Returns the receiver.
    pub fn to(self) -> Member {
        match self {
            Self::From(call, role) => Member::Side(call, role.other()),
            Self::Between(call, _, to) => Member::Participant(call, to),
        }
    }

    /// Returns the opposite direction.
    pub fn back(self) -> Self {
        match self {
            Self::From(call, role) => Self::From(call, role.other()),
            Self::Between(call, from, to) => Self::Between(call, to, from),
        }
    }

    /// Returns the journal, if there is one.
    pub fn journal<'a>(self, calls: &'a Calls, rooms: &'a Rooms) -> Option<&'a Journal> {
        match self {
            Self::From(call, role) => Some(&calls.get(call)?.journals[role]),
            Self::Between(call, from, to) => rooms.get(call)?.journals.get(&(from, to)),
        }
    }

    /// Returns the journal to be changed. In a room it is made at its first use.
    pub fn journal_mut<'a>(
        self,
        calls: &'a mut Calls,
        rooms: &'a mut Rooms,
    ) -> Option<&'a mut Journal> {
        match self {
            Self::From(call, role) => Some(&mut calls.get_mut(call)?.journals[role]),
            Self::Between(call, from, to) => {
                Some(rooms.get_mut(call)?.journals.entry((from, to)).or_default())
            }
        }
    }
}
