//! The faults of relayed packets.

use std::time::Duration;

use callbox_base::faults::Selector;
use callbox_relay::PacketRule;
use callbox_turn::Direction;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FaultError;

/// The longest delay of a packet or an event, in milliseconds.
pub(super) const MAX_DELAY_MS: u64 = 60_000;

/// The largest bandwidth, in kilobits a second.
const MAX_BANDWIDTH_KBPS: u64 = 10_000_000;

/// A fault of relayed packets. The first one that is for a packet applies to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PacketFault {
    /// The users and calls whose packets it is for.
    #[serde(rename = "for", default)]
    #[schema(required = false)]
    pub selector: Selector,
    /// The direction of the packets.
    #[serde(default)]
    #[schema(required = false)]
    pub direction: PacketDirection,
    /// The share of packets that are dropped, in percent.
    #[serde(default)]
    #[schema(required = false, minimum = 0, maximum = 100)]
    pub loss_percent: f64,
    /// The time for which a packet is held back, in milliseconds.
    #[serde(default)]
    #[schema(required = false, maximum = 60000)]
    pub delay_ms: u64,
    /// The largest difference of a packet's time from `delayMs`, in milliseconds. Packets stay in
    /// order.
    #[serde(default)]
    #[schema(required = false)]
    pub jitter_ms: u64,
    /// The share of packets that are not held back and so overtake others, in percent.
    #[serde(default)]
    #[schema(required = false, minimum = 0, maximum = 100)]
    pub reorder_percent: f64,
    /// The share of packets that are sent twice, in percent.
    #[serde(default)]
    #[schema(required = false, minimum = 0, maximum = 100)]
    pub duplicate_percent: f64,
    /// The number of kilobits a second for each allocation and direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 10000000)]
    pub bandwidth_kbps: Option<u64>,
}

/// The direction of relayed packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PacketDirection {
    /// From the client to its peer.
    Up,
    /// From the peer to the client.
    Down,
    /// Both.
    #[default]
    Both,
}

impl PacketFault {
    /// Checks the values; `path` is that of the fault.
    ///
    /// # Errors
    /// [`FaultError::Value`]
    pub(super) fn check(&self, path: &str) -> Result<(), FaultError> {
        for (name, percent) in [
            ("lossPercent", self.loss_percent),
            ("reorderPercent", self.reorder_percent),
            ("duplicatePercent", self.duplicate_percent),
        ] {
            if !(0.0..=100.0).contains(&percent) {
                let expected = "a percentage is from 0 to 100";
                return Err(FaultError::value(format!("{path}.{name}"), percent, expected));
            }
        }
        if self.delay_ms > MAX_DELAY_MS {
            let expected = format!("it may be {MAX_DELAY_MS} at most");
            return Err(FaultError::value(format!("{path}.delayMs"), self.delay_ms, expected));
        }
        if self.jitter_ms > self.delay_ms {
            let expected = format!("it may not be more than delayMs, which is {}", self.delay_ms);
            return Err(FaultError::value(format!("{path}.jitterMs"), self.jitter_ms, expected));
        }
        if self.reorder_percent > 0.0 && self.delay_ms == 0 {
            let expected = "it needs delayMs: packets overtake only others that are held back";
            let path = format!("{path}.reorderPercent");
            return Err(FaultError::value(path, self.reorder_percent, expected));
        }
        match self.bandwidth_kbps {
            Some(kbps) if !(1..=MAX_BANDWIDTH_KBPS).contains(&kbps) => {
                let expected = format!("it may be from 1 to {MAX_BANDWIDTH_KBPS}");
                Err(FaultError::value(format!("{path}.bandwidthKbps"), kbps, expected))
            }
            _ => Ok(()),
        }
    }

    /// Returns the relay's rule for it.
    pub(crate) fn rule(&self) -> PacketRule {
        PacketRule {
            selector: self.selector.clone(),
            direction: match self.direction {
                PacketDirection::Up => Some(Direction::Up),
                PacketDirection::Down => Some(Direction::Down),
                PacketDirection::Both => None,
            },
            loss: self.loss_percent / 100.0,
            delay: Duration::from_millis(self.delay_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            reorder: self.reorder_percent / 100.0,
            duplicate: self.duplicate_percent / 100.0,
            bandwidth: self.bandwidth_kbps.map(|kbps| kbps * 1000),
        }
    }
}
