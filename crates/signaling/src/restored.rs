//! The calls of the server before this one. Live ones go on: their sides come back with new sessions, as
//! after any lost connection, and media that does not go through the relay has never stopped. The others
//! end, with a report.

use std::{collections::BTreeMap, time::Duration};

use callbox_base::{clock::Now, entries::Entries, ids::CallId};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    CallState, EndReason, Hub, JsonText,
    call::{Call, RelayMeter, Role, Times, seconds},
    ended_calls::EndedCall,
    kept::{CALL, KeptCall, KeptEnd, LANES, Lanes, OVER, TEXT},
    members::Member,
    timer::Timer,
};

/// The way in which the server before this one came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowItStopped {
    /// It was told to.
    Orderly,
    /// Otherwise, at this time at the earliest, counted from 1970.
    Crashed(Duration),
}

impl HowItStopped {
    /// The times of a call that ended with that server, with its end at `now`.
    fn last_times(self, now: Now, created: Duration, started: Option<Duration>) -> Times {
        let end = match self {
            Self::Orderly => now.unix,
            Self::Crashed(at) => at,
        };
        Times::ended(now, created, started, end)
    }
}

/// The outcome of [`Hub::restore`]: numbers of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// The number of calls that go on.
    pub live: usize,
    /// The number of calls and rooms that are over, and were not reported before.
    pub over: usize,
    /// The number of entries that cannot be read.
    pub unreadable: usize,
}

impl Hub {
    /// Goes on with the calls of the hub before this one, whose changes
    /// [`Output::Keep`](crate::Output::Keep) gave and which the driver has collected in `entries`.
    /// Each side is waited for as if it had just lost its connection. Calls past the limit of live
    /// calls, and those that cannot go on, are over; a report is put out for each. To be called
    /// before any input.
    pub fn restore(&mut self, now: Now, entries: &Entries, stopped: HowItStopped) -> Restored {
        let mut restored = Restored::default();
        let mut texts: BTreeMap<CallId, Vec<(u32, JsonText)>> = BTreeMap::new();
        for (key, value) in entries.with_prefix(TEXT) {
            let numbered = key.split_once('/').and_then(|(id, number)| {
                Some((id.parse().ok()?, number.parse().ok()?, serde_json::from_str(value).ok()?))
            });
            match numbered {
                Some((id, number, text)) => {
                    texts.entry(id).or_default().push((number, JsonText::kept(text)));
                }
                None => restored.unreadable += 1,
            }
        }
        let mut lanes: BTreeMap<CallId, Lanes> = entries
            .with_prefix(LANES)
            .filter_map(|entry| read(entry, &mut restored.unreadable))
            .collect();
        for entry in entries.with_prefix(OVER) {
            let Some((id, end)) = read(entry, &mut restored.unreadable) else { continue };
            self.restore_end(now, id, end, stopped);
            restored.over += 1;
        }
        for entry in entries.with_prefix(CALL) {
            let Some((id, kept)) = read::<KeptCall>(entry, &mut restored.unreadable) else {
                continue;
            };
            let mut texts = texts.remove(&id).unwrap_or_default();
            texts.sort_by_key(|(number, _)| *number);
            let lanes = lanes.remove(&id).unwrap_or_default();
            let fits = self.calls.len() < self.config.max_calls && self.calls.get(id).is_none();
            let goes_on = fits && kept.is_live();
            let mut call = kept.into_call(now, id, self.config.ring_timeout);
            for role in [Role::Caller, Role::Callee] {
                call.journals[role] = lanes[role].with_texts(|number| {
                    let at = texts.binary_search_by_key(&number, |(number, _)| *number).ok()?;
                    Some(texts[at].1.clone())
                });
            }
            if goes_on {
                call.orphaned = stopped != HowItStopped::Orderly;
                self.restore_call(now, call);
                restored.live += 1;
            } else {
                self.restore_over(now, call, stopped);
                restored.over += 1;
            }
        }
        restored
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
            self.schedule_credential_refresh(now, id);
        }
    }

    /// A call that does not go on: it ended with its server.
    fn restore_over(&mut self, now: Now, mut call: Call, stopped: HowItStopped) {
        let (reason, state) = match stopped {
            HowItStopped::Orderly => (EndReason::ServerShutdown, CallState::Ended),
            HowItStopped::Crashed(_) => (EndReason::ServerCrashed, CallState::Failed),
        };
        call.times = stopped.last_times(now, call.times.created(), call.times.started());
        let mut record = call.final_record(now, reason, None);
        record.state = state;
        let was_connected = call.state().has_media();
        self.report_end(now, call.id, EndedCall::new(record, call.relay, was_connected));
    }

    /// A call whose end was not reported, or a room, which ended with its server.
    fn restore_end(&mut self, now: Now, id: CallId, end: KeptEnd, stopped: HowItStopped) {
        let KeptEnd { mut record, was_connected } = end;
        record.id = id;
        if record.reason.is_none() {
            let started = record.started_at.map(|at| at.0);
            let times = stopped.last_times(now, record.created_at.0, started);
            let at = times.at(now);
            record.state = CallState::Failed;
            for participant in record.participants.iter_mut().filter(|one| one.left_at.is_none()) {
                // Nobody left before they came, whatever the clock says.
                participant.left_at =
                    Some(participant.joined_at.map_or(at, |joined| joined.max(at)));
            }
            record.duration = Some(seconds(times.duration(now)));
            record.end(at, EndReason::ServerCrashed, None);
        }
        let relay = RelayMeter::of_closed(record.relay);
        self.report_end(now, id, EndedCall::new(record, relay, was_connected));
    }

    /// A call has waited long enough.
    pub(super) fn give_up(&mut self, now: Now, id: CallId, reason: EndReason) {
        // A device of the callee may ring, or have taken the call, and so be back.
        let is_orphaned = |call: &Call| call.orphaned && call.members().next().is_none();
        let is_orphaned = self.calls.get(id).is_some_and(is_orphaned);
        self.end(now, id, if is_orphaned { EndReason::ServerCrashed } else { reason });
    }

    /// Ends the live calls with the server.
    pub(super) fn end_all_calls(&mut self, now: Now) {
        let calls: Vec<CallId> = self.calls.iter().map(|call| call.id).collect();
        for call in calls {
            self.end(now, call, EndReason::ServerShutdown);
        }
    }
}

/// Reads the value that is kept for a call.
fn read<T: DeserializeOwned>(
    (id, value): (&str, &str),
    unreadable: &mut usize,
) -> Option<(CallId, T)> {
    let read = id.parse().ok().zip(serde_json::from_str(value).ok());
    *unreadable += usize::from(read.is_none());
    read
}

impl KeptCall {
    /// Returns true for a call as a hub has them: the version that wrote it may have been another one.
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
    fn into_call(self, now: Now, id: CallId, ring_timeout: Duration) -> Call {
        let ring_for = self.ring_until.saturating_sub(now.unix).min(ring_timeout);
        let metadata = self.metadata.and_then(|text| RawValue::from_string(text.into()).ok());
        let new = Call::new(now, id, self.kind, metadata, self.parties, ring_for);
        let mut call = new.in_state(self.state);
        call.times = Times::restore(now, self.created, self.started);
        call.relay = RelayMeter::of_closed(self.relay);
        call.moved = self.moved;
        call.upgrade = self.upgrade;
        call
    }
}
