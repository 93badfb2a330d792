//! Reports for tests.

use std::time::Duration;

use callbox_base::{ids::CallId, usage::RelayUsage};
use callbox_signaling::{
    CallEvent, CallRecord, CallReport, CallState, CallType, EndReason, Timestamp,
};
use rand::{SeedableRng, rngs::StdRng};

/// Returns a step of the call with this number. Calls with higher numbers are later.
pub(super) fn report(number: u64, event: CallEvent) -> CallReport {
    let at = Timestamp(Duration::from_secs(1_700_000_000 + number));
    let is_over = event == CallEvent::Ended;
    let call = CallRecord {
        id: call(number),
        room_id: None,
        state: if is_over { CallState::Ended } else { CallState::Connecting },
        kind: CallType::Audio,
        participants: Vec::new(),
        created_at: at,
        started_at: None,
        ended_at: is_over.then_some(at),
        duration: is_over.then_some(0.0),
        reason: is_over.then_some(EndReason::Hangup),
        ended_by: None,
        relay: RelayUsage::default(),
    };
    CallReport { event, at, call, was_connected: false }
}

/// Returns the end of the call with this number.
pub(super) fn ended(number: u64) -> CallReport {
    report(number, CallEvent::Ended)
}

/// Returns the id of the call with this number.
pub(super) fn call(number: u64) -> CallId {
    CallId::generate(number, &mut StdRng::seed_from_u64(number))
}
