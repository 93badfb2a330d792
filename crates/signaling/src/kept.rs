//! The entries that are kept of calls for the server after this one.
//!
//! | key | value |
//! |---|---|
//! | `call/ID` | a call of two, without what its sides have sent each other |
//! | `lanes/ID` | its two journals, with a number in place of each text |
//! | `text/ID/NUMBER` | one of these texts, which is written once, however often it is named |
//! | `over/ID` | the record of a room, in case the server crashes, or of a call whose end is not reported yet |

use std::time::Duration;

use callbox_base::{clock::Now, ids::CallId, usage::RelayUsage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    CallRecord, CallState, CallType,
    call::{
        Call, HasLifecycle, Journal, JournalOf, KeptState, Party, PerRole, RelayMeter, Role, Times,
    },
    ended_calls::EndedCall,
    rooms::Room,
};

/// The beginnings of the keys of each kind.
pub(super) const CALL: &str = "call/";
pub(super) const LANES: &str = "lanes/";
pub(super) const TEXT: &str = "text/";
pub(super) const OVER: &str = "over/";

/// The journals of a call, with a number for each text.
pub(super) type Lanes = PerRole<JournalOf<u32>>;

/// A call without what belongs to the process (sessions, timers and open allocations), and without
/// what its sides have sent each other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptCall {
    pub kind: CallType,
    pub state: CallState,
    /// As JSON text.
    pub metadata: Option<Box<str>>,
    pub created: Duration,
    pub started: Option<Duration>,
    pub ring_until: Duration,
    pub parties: PerRole<Party>,
    pub relay: RelayUsage,
    pub moved: bool,
    pub upgrade: Option<(Role, CallType)>,
}

/// A call or a room that is over, or is if the server crashes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptEnd {
    pub record: CallRecord,
    pub was_connected: bool,
}

impl KeptCall {
    /// Makes what is kept of a live call.
    pub(crate) fn of(call: &Call) -> Self {
        Self {
            kind: call.kind(),
            state: call.state(),
            metadata: call.metadata().map(|metadata| metadata.get().into()),
            created: call.lifecycle().times().created(),
            started: call.lifecycle().times().started(),
            ring_until: call.ringing().until().unix,
            parties: call.parties().clone(),
            relay: call.lifecycle().relay().usage(),
            moved: call.is_moved(),
            upgrade: call.upgrade(),
        }
    }

    /// Returns true if a hub can have such a call: it may have been written by another version.
    pub(crate) fn is_live(&self) -> bool {
        let (caller, callee) = (&self.parties.caller, &self.parties.callee);
        let has_begun = self.state != CallState::Idle && !self.state.is_over();
        let is_taken = self.state.is_accepted();
        has_begun
            && caller.user() != callee.user()
            && caller.device().is_some()
            && callee.device().is_some() == is_taken
            && self.started.is_some() == is_taken
    }

    /// Makes the live call. It rings no longer than a new one would, however the clock was set
    /// meanwhile.
    pub(crate) fn into_call(
        self,
        now: Now,
        id: CallId,
        ring_timeout: Duration,
        journals: PerRole<Journal>,
    ) -> Call {
        let ring_for = self.ring_until.saturating_sub(now.unix).min(ring_timeout);
        let metadata = self.metadata.and_then(|text| RawValue::from_string(text.into()).ok());
        let new = Call::new(now, id, self.kind, metadata, self.parties, ring_for);
        new.in_state(KeptState {
            state: self.state,
            times: Times::restore(now, self.created, self.started),
            journals,
            relay: RelayMeter::of_closed(self.relay),
            moved: self.moved,
            upgrade: self.upgrade,
        })
    }
}

impl KeptEnd {
    /// Makes what is kept of a call that is over, until its end is reported.
    pub(crate) fn of(ended: &EndedCall) -> Self {
        Self { record: ended.record(), was_connected: ended.was_connected() }
    }

    /// Makes what is kept of a live room, which is over if the server crashes.
    pub(crate) fn of_room(room: &Room) -> Self {
        Self { record: room.record_if_over(), was_connected: room.state().has_media() }
    }
}
