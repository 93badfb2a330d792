//! A call as it is shown: to its sides in `call:state`, to operators over the REST API.

use std::{sync::Arc, time::Duration};

use callbox_base::{
    ids::{CallId, DeviceId, ParticipantId, RoomId, UserId},
    usage::{RelayUsage, Usage},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CallState, CallStats, Media, Path, Role};
use crate::{CallType, EndReason, Timestamp};

/// A call, as its sides and operators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Its id.
    pub id: CallId,
    /// The room of which it is one life; missing for a call of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
    /// The state that it is in.
    pub state: CallState,
    /// The media that it carries.
    #[serde(rename = "type")]
    pub kind: CallType,
    /// The caller, then the callee. Of a room, who is in it, in the order in which they came; once
    /// it is over, the latest who were.
    pub participants: Vec<Participant>,
    /// The time at which the caller called, or the first participant came.
    pub created_at: Timestamp,
    /// The time at which it was accepted, or a second participant came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub started_at: Option<Timestamp>,
    /// The time at which it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended_at: Option<Timestamp>,
    /// Seconds since it started, up to its end; 0 for a call that ended without that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub duration: Option<f64>,
    /// The reason for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<EndReason>,
    /// The user who ended it; missing where the server did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended_by: Option<UserId>,
    /// The bytes that went through the server's relay.
    pub relay: RelayUsage,
}

/// One side of a call, or one participant of a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The user.
    pub user_id: UserId,
    /// The id as a participant of a room; missing for a call of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub participant_id: Option<ParticipantId>,
    /// The name to show to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The side; missing for a room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<Role>,
    /// The device in the call; a callee has none before the accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub device_id: Option<DeviceId>,
    /// The time at which it came into the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub joined_at: Option<Timestamp>,
    /// The time at which it left the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub left_at: Option<Timestamp>,
    /// True if it is connected to this server; missing for a call that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub connected: Option<bool>,
    /// The media that it says it sends, if that is anything out of the ordinary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub media: Option<Media>,
    /// The quality of the call as it measured it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stats: Option<CallStats>,
}

impl CallRecord {
    /// Returns `Some(true)` if a side says that its media went through a relay, `Some(false)` if
    /// none does, and `None` if no side names a path.
    pub fn says_it_is_relayed(&self) -> Option<bool> {
        let stats = self.participants.iter().filter_map(|participant| participant.stats.as_ref());
        let paths: Vec<_> = stats.filter_map(|stats| stats.path).collect();
        (!paths.is_empty()).then(|| paths.contains(&Path::Relay))
    }

    /// Records that the call is over since this moment.
    pub(crate) fn end(&mut self, at: Timestamp, reason: EndReason, ended_by: Option<UserId>) {
        self.ended_at = Some(at);
        self.reason = Some(reason);
        self.ended_by = ended_by;
        for participant in &mut self.participants {
            participant.connected = None;
        }
    }
}

/// The relay's counters of one call: those of its open allocations, and the sum over the closed
/// ones. The relay's quotas bound the number of open ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct RelayMeter {
    open: Vec<Arc<Usage>>,
    /// `allocations` counts the open ones as well.
    closed: RelayUsage,
}

impl RelayMeter {
    /// Makes the counters of a call that goes on in another process than the one that relayed for
    /// it.
    pub(crate) fn of_closed(closed: RelayUsage) -> Self {
        Self { open: Vec::new(), closed }
    }

    /// Adds an allocation that was opened.
    pub(crate) fn opened(&mut self, usage: Arc<Usage>) {
        if !self.open.iter().any(|open| Arc::ptr_eq(open, &usage)) {
            self.open.push(usage);
            self.closed.allocations = self.closed.allocations.saturating_add(1);
        }
    }

    /// Adds the counters of an allocation that was closed to the sum, since they are final.
    pub(crate) fn closed(&mut self, usage: &Arc<Usage>) {
        if let Some(at) = self.open.iter().position(|open| Arc::ptr_eq(open, usage)) {
            add(&mut self.closed, &self.open.swap_remove(at));
        }
    }

    /// Returns true if the numbers are final, unless another allocation is opened.
    pub(crate) fn is_final(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the numbers as they are now.
    pub(crate) fn usage(&self) -> RelayUsage {
        let mut sum = self.closed;
        self.open.iter().for_each(|usage| add(&mut sum, usage));
        sum
    }
}

fn add(sum: &mut RelayUsage, usage: &Usage) {
    let (up, down) = usage.read();
    sum.bytes_up = sum.bytes_up.saturating_add(up);
    sum.bytes_down = sum.bytes_down.saturating_add(down);
}

/// Returns seconds with milliseconds, as `duration` has them.
pub(crate) fn seconds(duration: Duration) -> f64 {
    // Exact: a call's milliseconds are far below 2^53.
    duration.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_and_final_numbers_add_up() {
        let (one, two) = (Arc::new(Usage::default()), Arc::new(Usage::default()));
        let mut meter = RelayMeter::default();
        meter.opened(one.clone());
        meter.opened(one.clone());
        meter.opened(two.clone());
        one.add_up(10);
        two.add_down(7);
        let expected = RelayUsage { allocations: 2, bytes_up: 10, bytes_down: 7 };
        assert_eq!(meter.usage(), expected);
        meter.closed(&one);
        meter.closed(&one);
        assert_eq!(meter.usage(), expected);
        two.add_down(1);
        assert_eq!(meter.usage().bytes_down, 8);
    }
}
