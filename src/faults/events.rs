//! The faults of events of signaling.

use callbox_base::faults::Selector;
use callbox_signaling::EventName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FaultError, packets::MAX_DELAY_MS, requests::MAX_COUNT};

/// A fault of events. The first one that is for an event, and is not used up, applies to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventFault {
    /// The users who are sent the events, and the calls that the events name.
    #[serde(rename = "for", default)]
    #[schema(required = false)]
    pub selector: Selector,
    /// The name of the events.
    pub event: EventName,
    /// The effect on them.
    pub effect: EventEffect,
    /// The time for which an event is held back, in milliseconds; only with `delay`. Later events
    /// overtake it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 60000)]
    pub delay_ms: Option<u64>,
    /// The number of events; without it there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1000000)]
    pub count: Option<u32>,
    /// The number of events that it is still for, if there is a limit; only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, read_only)]
    pub left: Option<u32>,
}

/// The fate of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EventEffect {
    /// It is not sent.
    Drop,
    /// It is sent later.
    Delay,
    /// It is sent twice.
    Duplicate,
}

impl EventFault {
    /// Checks the values; `path` is that of the fault.
    ///
    /// # Errors
    /// [`FaultError`]
    pub(super) fn check(&self, path: &str) -> Result<(), FaultError> {
        let of = |name: &str| format!("{path}.{name}");
        match (self.effect, self.delay_ms) {
            (EventEffect::Delay, None) => {
                let reason = "the effect is delay, so that it is needed".to_owned();
                return Err(FaultError::Field { path: of("delayMs"), reason });
            }
            (EventEffect::Delay, Some(ms)) if !(1..=MAX_DELAY_MS).contains(&ms) => {
                let expected = format!("it may be from 1 to {MAX_DELAY_MS}");
                return Err(FaultError::value(of("delayMs"), ms, expected));
            }
            (EventEffect::Drop | EventEffect::Duplicate, Some(ms)) => {
                return Err(FaultError::value(of("delayMs"), ms, "the effect is not delay"));
            }
            _ => {}
        }
        if let Some(count) = self.count.filter(|count| !(1..=MAX_COUNT).contains(count)) {
            let expected = format!("it may be from 1 to {MAX_COUNT}");
            return Err(FaultError::value(of("count"), count, expected));
        }
        match self.left {
            Some(left) => {
                let expected = "it is only in answers: give count";
                Err(FaultError::value(of("left"), left, expected))
            }
            None => Ok(()),
        }
    }
}
