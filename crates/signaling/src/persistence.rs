//! The changes of the state of calls that is kept for the server after this one, so that a server
//! that crashes loses no call, and no call's end.
//!
//! Whatever touches a call notes its id. Once all outputs of an input are taken, each such call is
//! compared with what was last kept of it, and only what differs is put out.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher},
};

use callbox_base::{entries::Change, ids::CallId};
use serde::Serialize;

use super::{
    JsonText, Output,
    call::{Call, Role},
    kept::{CALL, KeptCall, KeptEnd, LANES, Lanes, OVER, TEXT},
    outbox::Outbox,
};

/// The state of calls that was kept so far.
#[derive(Debug, Default)]
pub(super) struct Persistence {
    calls: BTreeMap<CallId, Written>,
    /// The calls that may have changed, besides those that the tables of calls have noted.
    touched: BTreeSet<CallId>,
}

/// The values that were kept of one call: a digest of each, and the texts with their numbers.
#[derive(Debug, Default)]
struct Written {
    call: Option<u64>,
    lanes: Option<u64>,
    over: Option<u64>,
    /// By number.
    texts: Vec<(u32, JsonText)>,
}

impl Persistence {
    /// Notes that something about a call may have changed.
    pub(crate) fn touch(&mut self, id: CallId) {
        self.touched.insert(id);
    }

    /// Takes out the calls that may have changed.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<CallId> {
        std::mem::take(&mut self.touched)
    }

    /// Emits the changes of a call since it was last kept. `over` is the record of a room,
    /// or of a call whose end is not reported yet.
    pub(crate) fn emit_changes(
        &mut self,
        id: CallId,
        call: Option<&Call>,
        over: Option<&KeptEnd>,
        outbox: &mut Outbox,
    ) {
        if call.is_none() && over.is_none() && !self.calls.contains_key(&id) {
            return;
        }
        let written = self.calls.entry(id).or_default();
        let mut changes = Changes { id, outbox };
        // The texts first: there is no lane without them.
        let mut used = Vec::new();
        let lanes = call.map(|call| {
            let mut number = |text: &JsonText| {
                let number = written.number_of(text, &mut changes);
                used.push(number);
                number
            };
            Lanes {
                caller: call.journal(Role::Caller).numbered(&mut number),
                callee: call.journal(Role::Callee).numbered(&mut number),
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
        changes.put_value(OVER, &mut written.over, over);
        if call.is_none() && over.is_none() {
            self.calls.remove(&id);
        }
    }
}

impl Written {
    /// Returns the number that stands for a text, which is put out if it is new.
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

/// The changes of one call, as they are put out.
struct Changes<'a> {
    id: CallId,
    outbox: &'a mut Outbox,
}

impl Changes<'_> {
    fn put(&mut self, key: String, value: Option<String>) {
        self.outbox.push(Output::Keep(Change { key, value }));
    }

    /// Puts out a value if it differs from the one before.
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
