//! Reports of the steps of calls, for records and webhooks.

use super::{CallRecord, Timestamp, wire_enums::wire_enum};

wire_enum! {
    /// A step of a call, by the name that webhooks have for it.
    pub enum CallEvent {
        /// Somebody calls, or is the first in a room.
        Initiated = "call.initiated",
        /// A device of the callee has it.
        Ringing = "call.ringing",
        /// A device of the callee took it, or a second participant came into the room.
        Accepted = "call.accepted",
        /// Media flows, for the first time.
        Connected = "call.connected",
        /// A side is lost, works on its media path or has gone on with another device.
        Reconnecting = "call.reconnecting",
        /// Media flows again.
        Reconnected = "call.reconnected",
        /// The callee has no device. It is a question, and no step.
        Offline = "call.offline",
        /// It is over, and the relay has nothing to add.
        Ended = "call.ended",
    }
}

/// A step of a call. Of each call they come in order, the end last and once.
#[derive(Debug, Clone, PartialEq)]
pub struct CallReport {
    /// The step.
    pub event: CallEvent,
    /// The time of the step.
    pub at: Timestamp,
    /// The call as it was then; of one that has ended, with all that was relayed for it.
    pub call: CallRecord,
    /// True if the call had been [`Connected`](super::CallState::Connected) by then.
    pub was_connected: bool,
}
