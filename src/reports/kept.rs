//! The part of the log of calls that holds reports which their receivers do not have yet.
//!
//! | key | value |
//! |---|---|
//! | `event/NUMBER` | the body of an undelivered event; lower numbers are older |
//! | `record/ID` | the record of a call that is not in the file yet |
//! | `records` | the position up to which the file of records is accounted for ([`Position`]) |

use callbox_base::{entries::Change, ids::CallId};
use serde::{Deserialize, Serialize};

use crate::state_log::Found;

/// The prefixes of the keys of each kind.
const EVENT: &str = "event/";
const RECORD: &str = "record/";
const POSITION: &str = "records";

/// A position in the file of records. Lines of calls that are still in the log, if any, are after
/// it: the process was killed between the two writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The identity of the file, as given by the system; 0 if it gives none.
    pub device: u64,
    pub inode: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Returns the change that stores an event, or that removes it.
pub(super) fn event(number: u64, body: Option<&str>) -> Change {
    Change { key: format!("{EVENT}{number:020}"), value: body.map(Into::into) }
}

/// Returns the change that stores a record, or that removes it.
pub(super) fn record(call: CallId, line: Option<&str>) -> Change {
    Change { key: format!("{RECORD}{call}"), value: line.map(Into::into) }
}

/// Returns the change that stores a position in the file of records.
pub(super) fn position(position: &Position) -> Change {
    let value = serde_json::to_string(position).expect("it is three numbers");
    Change { key: POSITION.into(), value: Some(value) }
}

/// Returns the undelivered events, in order, each with its number and its call.
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

/// Returns the records that may not be in the file, the oldest call first.
pub(super) fn records(found: &Found) -> impl Iterator<Item = (CallId, &str)> {
    found.entries.with_prefix(RECORD).filter_map(|(call, line)| Some((call.parse().ok()?, line)))
}

/// Returns the position up to which the file of records is accounted for.
pub(super) fn position_of(found: &Found) -> Option<Position> {
    serde_json::from_str(found.entries.get(POSITION)?).ok()
}
