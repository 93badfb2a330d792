//! The calls of the server before this one. Live ones continue: their sides come back with new
//! sessions, as after any lost connection, and media that does not go through the relay has never
//! stopped. The others end, with a report.

use std::{collections::BTreeMap, time::Duration};

use callbox_base::{clock::Now, entries::Entries, ids::CallId};
use serde::de::DeserializeOwned;

use super::{Hub, credentials, reconnect_grace, reporting};
use crate::{
    CallState, EndReason, JsonText,
    call::{Call, HasLifecycle, PerRole, RelayMeter, Role, Times, seconds},
    ended_calls::EndedCall,
    kept::{CALL, KeptCall, KeptEnd, LANES, Lanes, OVER, TEXT},
    member::Member,
};

/// The way in which the server before this one came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviousStop {
    /// The server was stopped.
    Orderly,
    /// The server crashed, at this time at the earliest, counted from 1970.
    Crashed(Duration),
}

impl PreviousStop {
    /// Returns the times of a call that ended with that server, with its end at `now`.
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

/// Restores the calls that the hub before this one kept, for [`Hub::restore`].
pub(super) fn restore(
    hub: &mut Hub,
    now: Now,
    entries: &Entries,
    stopped: PreviousStop,
) -> Restored {
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
        restore_end(hub, now, id, end, stopped);
        restored.over += 1;
    }
    for entry in entries.with_prefix(CALL) {
        let Some((id, kept)) = read::<KeptCall>(entry, &mut restored.unreadable) else {
            continue;
        };
        let mut texts = texts.remove(&id).unwrap_or_default();
        texts.sort_by_key(|(number, _)| *number);
        let lanes = lanes.remove(&id).unwrap_or_default();
        let fits = hub.calls.len() < hub.config.max_calls && hub.calls.get(id).is_none();
        let goes_on = fits && kept.is_live();
        let journal = |role: Role| {
            lanes[role].with_texts(|number| {
                let at = texts.binary_search_by_key(&number, |(number, _)| *number).ok()?;
                Some(texts[at].1.clone())
            })
        };
        let journals = PerRole { caller: journal(Role::Caller), callee: journal(Role::Callee) };
        let mut call = kept.into_call(now, id, hub.config.ring_timeout, journals);
        if goes_on {
            call.set_orphaned(stopped != PreviousStop::Orderly);
            restore_live(hub, now, call);
            restored.live += 1;
        } else {
            restore_over(hub, now, call, stopped);
            restored.over += 1;
        }
    }
    restored
}

/// Continues a call, with the reconnect grace of both sides.
fn restore_live(hub: &mut Hub, now: Now, mut call: Call) {
    let (id, accepted) = (call.id(), call.state().is_accepted());
    if !accepted {
        call.ringing_mut().start(&mut hub.timers);
    }
    for role in [Role::Caller, Role::Callee] {
        hub.users.add_call(call.party(role).user(), id);
    }
    hub.calls.insert(call);
    for role in [Role::Caller, Role::Callee] {
        reconnect_grace::start(hub, now, Member::Side(id, role), false);
    }
    if accepted {
        credentials::schedule_refresh(hub, now, id);
    }
}

/// Reports a call that does not go on: it ended with its server.
fn restore_over(hub: &mut Hub, now: Now, mut call: Call, stopped: PreviousStop) {
    let (reason, state) = match stopped {
        PreviousStop::Orderly => (EndReason::ServerShutdown, CallState::Ended),
        PreviousStop::Crashed(_) => (EndReason::ServerCrashed, CallState::Failed),
    };
    let times = stopped.last_times(
        now,
        call.lifecycle().times().created(),
        call.lifecycle().times().started(),
    );
    call.lifecycle_mut().set_times(times);
    let mut record = call.final_record(now, reason, None);
    record.state = state;
    let was_connected = call.state().has_media();
    reporting::report_end(
        hub,
        now,
        EndedCall::new(record, call.lifecycle().relay().clone(), was_connected),
    );
}

/// Reports a call whose end was not reported, or a room, which ended with its server.
fn restore_end(hub: &mut Hub, now: Now, id: CallId, end: KeptEnd, stopped: PreviousStop) {
    let KeptEnd { mut record, was_connected } = end;
    record.id = id;
    if record.reason.is_none() {
        let started = record.started_at.map(|at| at.0);
        let times = stopped.last_times(now, record.created_at.0, started);
        let at = times.at(now);
        record.state = CallState::Failed;
        for participant in record.participants.iter_mut().filter(|one| one.left_at.is_none()) {
            // Nobody left before joining, whatever the clock says.
            participant.left_at = Some(participant.joined_at.map_or(at, |joined| joined.max(at)));
        }
        record.duration = Some(seconds(times.duration(now)));
        record.end(at, EndReason::ServerCrashed, None);
    }
    let relay = RelayMeter::of_closed(record.relay);
    reporting::report_end(hub, now, EndedCall::new(record, relay, was_connected));
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
