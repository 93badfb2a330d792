//! The part of the log of calls that holds reports which nobody has yet.
//!
//! | key | value |
//! |---|---|
//! | `event/NUMBER` | the body of an event that the receiver has not taken; lower numbers are older |
//! | `record/ID` | the record of a call that is not in the file yet |
//! | `records` | the file of records up to which all of it is accounted for ([`Position`]) |

use callbox_base::{entries::Change, ids::CallId};
use serde::{Deserialize, Serialize};

use crate::state_log::Found;

/// The beginnings of the keys of each kind.
const EVENT: &str = "event/";
const RECORD: &str = "record/";
const POSITION: &str = "records";

/// A place in the file of records. Those of its lines whose calls are still in the log, if any, are behind
/// it: the process was killed between the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which file it is, as the system has it; 0 where it does not say.
    pub device: u64,
    pub inode: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Keeps an event, or nothing of it any more.
pub(super) fn event(number: u64, body: Option<&str>) -> Change {
    Change { key: format!("{EVENT}{number:020}"), value: body.map(Into::into) }
}

/// Keeps a record, or nothing of it any more.
pub(super) fn record(call: CallId, line: Option<&str>) -> Change {
    Change { key: format!("{RECORD}{call}"), value: line.map(Into::into) }
}

/// Keeps a place in the file of records.
pub(super) fn position(position: &Position) -> Change {
    let value = serde_json::to_string(position).expect("it is three numbers");
    Change { key: POSITION.into(), value: Some(value) }
}

/// The events that were not delivered, in order, each with its number and the call that it is about.
pub(super) fn events(found: &Found) -> impl Iterator<Item = (u64, CallId, &str)> {
    #[derive(Deserialize)]
    struct Event {
        call: Call,
    }
    #[derive(Deserialize)]
    struct Call {
        id: CallId,
    }
    found.entries.with_prefix(EVENT).filter_map(|(number, body)| {
        let event: Event = serde_json::from_str(body).ok()?;
        Some((number.parse().ok()?, event.call.id, body))
    })
}

/// The records that may not be in the file, the oldest call first.
pub(super) fn records(found: &Found) -> impl Iterator<Item = (CallId, &str)> {
    found.entries.with_prefix(RECORD).filter_map(|(call, line)| Some((call.parse().ok()?, line)))
}

/// The place up to which the file of records is accounted for.
pub(super) fn position_of(found: &Found) -> Option<Position> {
    serde_json::from_str(found.entries.get(POSITION)?).ok()
}
