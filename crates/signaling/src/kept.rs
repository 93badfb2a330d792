//! The state of calls that is kept for the server after this one, as it changes: so that a server that crashes
//! loses no call, and no call's end.
//!
//! Whatever touches a call notes its id. Once all outputs of an input are taken, each such call is compared
//! with what was last kept of it, and only what differs is put out:
//!
//! | key | value |
//! |---|---|
//! | `call/ID` | a call of two, without what its sides have sent each other |
//! | `lanes/ID` | its two journals, with a number in place of each text |
//! | `text/ID/NUMBER` | one of these texts, which is written once, however often it is named |
//! | `over/ID` | the record of a room, in case the server crashes, or of a call whose end is not reported yet |

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

use callbox_base::{clock::Now, entries::Change, ids::CallId, usage::RelayUsage};
use serde::{Deserialize, Serialize};

use super::{
    CallRecord, CallState, CallType, Hub, JsonText, Output,
    call::{Call, JournalOf, Party, PerRole, Role},
    ended_calls::EndedCall,
};

/// The beginnings of the keys of each kind.
pub(super) const CALL: &str = "call/";
pub(super) const LANES: &str = "lanes/";
pub(super) const TEXT: &str = "text/";
pub(super) const OVER: &str = "over/";

/// The journals of a call, with a number for each text.
pub(super) type Lanes = PerRole<JournalOf<u32>>;

/// A call without what belongs to the process (sessions, timers and open allocations), and without what
/// its sides have sent each other.
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

impl KeptEnd {
    /// Makes what is kept of a call that is over, until its end is reported.
    fn of(ended: &EndedCall) -> Self {
        Self { record: ended.record(), was_connected: ended.was_connected }
    }
}

/// The values that were kept so far.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    calls: BTreeMap<CallId, Written>,
    /// The calls to look at, besides those that the tables have noted.
    touched: BTreeSet<CallId>,
}

/// The values that were kept of one call: a digest of each, and the texts with their numbers.
#[derive(Debug, Default)]
pub(super) struct Written {
    call: Option<u64>,
    lanes: Option<u64>,
    over: Option<u64>,
    /// By number.
    texts: Vec<(u32, JsonText)>,
}

impl KeptCall {
    fn of(call: &Call) -> Self {
        Self {
            kind: call.kind,
            state: call.state(),
            metadata: call.metadata.as_ref().map(|metadata| metadata.get().into()),
            created: call.times.created(),
            started: call.times.started(),
            ring_until: call.ring_until.unix,
            parties: call.parties.clone(),
            relay: call.relay.usage(),
            moved: call.moved,
            upgrade: call.upgrade,
        }
    }
}

impl Hub {
    /// Notes that something about a call may have changed, besides what its table notes.
    pub(super) fn keep(&mut self, id: CallId) {
        if let Some(keeping) = &mut self.keeping {
            keeping.touched.insert(id);
        }
    }

    /// Looks at the calls that have allocations, for [`Output::Keep`]: their numbers change with no
    /// input. To be called now and then, with [`Config::keep_calls`](crate::Config::keep_calls).
    pub fn keep_relayed(&mut self) {
        let Some(keeping) = &mut self.keeping else { return };
        let calls = self.calls.iter().filter(|call| !call.relay.is_final()).map(|call| call.id);
        let rooms = self.rooms.iter().filter(|room| !room.relay.is_final()).map(|room| room.id);
        keeping.touched.extend(calls.chain(rooms));
    }

    /// Puts out what has changed of what is kept.
    pub(super) fn keep_changes(&mut self) {
        let Some(keeping) = &mut self.keeping else { return };
        let mut touched = std::mem::take(&mut keeping.touched);
        touched.extend(self.calls.take_touched());
        touched.extend(self.rooms.take_touched());
        for id in touched {
            self.keep_changes_of(id);
        }
    }

    fn keep_changes_of(&mut self, id: CallId) {
        let Some(keeping) = &mut self.keeping else { return };
        let call = self.calls.get(id);
        let over = call.is_none().then(|| {
            let room = self.rooms.get(id);
            let ended = || self.settling.get(&id).map(|(_, ended)| ended);
            room.map(|room| KeptEnd {
                record: room.record_if_over(),
                was_connected: room.state().has_media(),
            })
            .or_else(|| ended().map(KeptEnd::of))
        });
        let over = over.flatten();
        if call.is_none() && over.is_none() && !keeping.calls.contains_key(&id) {
            return;
        }
        let written = keeping.calls.entry(id).or_default();
        let mut changes = Changes { id, outbox: &mut self.outbox };
        // The texts first: there is no lane without them.
        let mut used = Vec::new();
        let lanes = call.map(|call| {
            let mut number = |text: &JsonText| {
                let number = written.number_of(text, &mut changes);
                used.push(number);
                number
            };
            Lanes {
                caller: call.journals.caller.numbered(&mut number),
                callee: call.journals.callee.numbered(&mut number),
            }
        });
        written.texts.retain(|(number, _)| {
            let is_used = used.contains(number);
            if !is_used {
                changes.put(format!("{TEXT}{id}/{number}"), None);
            }
            is_used
        });
        changes.put_value(CALL, &mut written.call, call.map(KeptCall::of).as_ref());
        changes.put_value(LANES, &mut written.lanes, lanes.as_ref());
        changes.put_value(OVER, &mut written.over, over.as_ref());
        if call.is_none() && over.is_none() {
            keeping.calls.remove(&id);
        }
    }

    /// Ends the live calls with this hub after all, since they cannot be kept. To be called after
    /// [`Input::Shutdown`](crate::Input::Shutdown).
    pub fn give_up_calls(&mut self, now: Now) {
        self.config.keep_calls = false;
        self.keeping = None;
        self.end_all_calls(now);
        self.settle_all();
    }

    /// Returns true if there is a live call or a room.
    pub fn has_live_calls(&self) -> bool {
        self.calls.len() + self.rooms.len() > 0
    }

    /// Returns the number of live calls to go on with.
    pub fn kept_calls(&self) -> usize {
        self.calls.len()
    }
}

impl Written {
    /// The number that stands for a text, which is put out if it is a new one.
    fn number_of(&mut self, text: &JsonText, changes: &mut Changes<'_>) -> u32 {
        // Most often it is one of the latest.
        let known = self.texts.iter().rev().find(|(_, known)| known.is(text));
        if let Some((number, _)) = known {
            return *number;
        }
        let number = self.texts.last().map_or(0, |(number, _)| number + 1);
        self.texts.push((number, text.clone()));
        let id = changes.id;
        // As a text, since clients may write JSON over several lines.
        changes.put(format!("{TEXT}{id}/{number}"), Some(json(&text.as_str())));
        number
    }
}

/// The changes that are put out of one call.
struct Changes<'a> {
    id: CallId,
    outbox: &'a mut super::outbox::Outbox,
}

impl Changes<'_> {
    fn put(&mut self, key: String, value: Option<String>) {
        self.outbox.push(Output::Keep(Change { key, value }));
    }

    /// Puts out a value if it is another one than before.
    fn put_value<T: Serialize>(&mut self, kind: &str, known: &mut Option<u64>, value: Option<&T>) {
        let value = value.map(json);
        let digest = value.as_ref().map(|value| {
            let mut hasher = DefaultHasher::new();
            hasher.write(value.as_bytes());
            hasher.finish()
        });
        if *known != digest {
            *known = digest;
            self.put(format!("{kind}{}", self.id), value);
        }
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what is kept has only keys of text")
}
