//! Live calls in a form that outlasts the process: a server that stops hands them to the one that is
//! started in its place. Their sides come back with new sessions, as after any lost connection, and
//! media that does not go through the relay has never stopped.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    CallState, CallType, EndReason, Hub,
    call::{Call, Journal, Party, PerRole, RelayMeter, Role, Times},
    hub::Timer,
    members::Member,
};
use crate::{clock::Now, ids::CallId, usage::RelayUsage};

/// The live calls of a hub. There are descriptions and candidates among what their sides have yet to
/// get, so it is not for everyone's eyes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SavedCalls {
    calls: Vec<SavedCall>,
}

/// A call without what belongs to the process: sessions, timers and open allocations.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedCall {
    id: CallId,
    kind: CallType,
    state: CallState,
    /// As JSON text.
    metadata: Option<Box<str>>,
    created: Duration,
    started: Option<Duration>,
    ring_until: Duration,
    parties: PerRole<Party>,
    journals: PerRole<Journal>,
    relay: RelayUsage,
    moved: bool,
    upgrade: Option<(Role, CallType)>,
}

impl SavedCalls {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

impl Hub {
    /// The live calls, for the hub that comes after this one.
    pub fn saved_calls(&self) -> SavedCalls {
        SavedCalls { calls: self.calls.iter().map(SavedCall::of).collect() }
    }

    /// Nobody goes on with the live calls after all: they end with this hub, once it has stopped.
    pub fn give_up_calls(&mut self, now: Now) {
        self.config.keep_calls = false;
        self.end_all_calls(now);
        self.settle_all();
    }

    /// Ends the live calls with the server.
    pub(super) fn end_all_calls(&mut self, now: Now) {
        let calls: Vec<CallId> = self.calls.iter().map(|call| call.id).collect();
        for call in calls {
            self.end(now, call, EndReason::ServerShutdown);
        }
    }

    /// Goes on with the calls of the hub before this one, each side of which is now waited for as if
    /// it had just lost its connection. Says with how many; past the limit of live calls the others
    /// are given up, and so is what was no live call.
    pub fn restore(&mut self, now: Now, saved: SavedCalls) -> usize {
        let before = self.calls.len();
        for call in saved.calls {
            let is_new = call.is_live() && self.calls.get(call.id).is_none();
            if is_new && self.calls.len() < self.config.max_calls {
                self.restore_call(now, call.into_call(now, self.config.ring_timeout));
            }
        }
        self.calls.len() - before
    }

    fn restore_call(&mut self, now: Now, call: Call) {
        let (id, accepted) = (call.id, call.state().is_accepted());
        if !accepted {
            self.timers.set(call.ring_until.instant, Timer::Ring(id));
        }
        for role in [Role::Caller, Role::Callee] {
            self.users.update(&call.parties[role].user, |user| user.calls.push(id));
        }
        self.calls.insert(call);
        for role in [Role::Caller, Role::Callee] {
            self.wait_for(now, Member::Side(id, role), false);
        }
        if accepted {
            self.freshen_later(now, id);
        }
    }
}

impl SavedCall {
    fn of(call: &Call) -> Self {
        Self {
            id: call.id,
            kind: call.kind,
            state: call.state(),
            metadata: call.metadata.as_ref().map(|metadata| metadata.get().into()),
            created: call.times.created(),
            started: call.times.started(),
            ring_until: call.ring_until.unix,
            parties: call.parties.clone(),
            journals: call.journals.clone(),
            relay: call.relay.usage(),
            moved: call.moved,
            upgrade: call.upgrade,
        }
    }

    /// Whether it is a call as a hub has them: whoever wrote the file may have been another version.
    fn is_live(&self) -> bool {
        let (caller, callee) = (&self.parties.caller, &self.parties.callee);
        let has_begun = self.state != CallState::Idle && !self.state.is_over();
        let is_taken = self.state.is_accepted();
        has_begun
            && caller.user != callee.user
            && caller.device.is_some()
            && callee.device.is_some() == is_taken
            && self.started.is_some() == is_taken
    }

    /// However the clock was set meanwhile, it rings no longer than a new one would.
    fn into_call(self, now: Now, ring_timeout: Duration) -> Call {
        let ring_for = self.ring_until.saturating_sub(now.unix).min(ring_timeout);
        let metadata = self.metadata.and_then(|text| RawValue::from_string(text.into()).ok());
        let new = Call::new(now, self.id, self.kind, metadata, self.parties, ring_for);
        let mut call = new.in_state(self.state);
        call.times = Times::restore(now, self.created, self.started);
        call.journals = self.journals;
        call.journals.caller.drop_unreadable();
        call.journals.callee.drop_unreadable();
        call.relay = RelayMeter::of_closed(self.relay);
        call.moved = self.moved;
        call.upgrade = self.upgrade;
        call
    }
}
