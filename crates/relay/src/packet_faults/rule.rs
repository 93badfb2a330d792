//! The rules by which relayed packets are lost, held back, reordered and sent twice.

use std::{sync::Arc, time::Duration};

use callbox_turn::{
    Direction,
    faults::{Injected, RequestFaults, Selector},
};

/// A rule for relayed packets.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketRule {
    /// The users and calls whose allocations it is for.
    pub selector: Selector,
    /// The direction of the packets; `None` for both.
    pub direction: Option<Direction>,
    /// The share of packets that are dropped, from 0 to 1.
    pub loss: f64,
    /// The time for which a packet is held back.
    pub delay: Duration,
    /// The largest difference of a packet's time from `delay`, which is at least as long.
    pub jitter: Duration,
    /// The share of packets that are not held back, and so overtake others, from 0 to 1.
    pub reorder: f64,
    /// The share of packets that are sent twice, from 0 to 1.
    pub duplicate: f64,
    /// The number of bits a second of each allocation and direction; `None` for no limit.
    pub bandwidth: Option<u64>,
}

impl PacketRule {
    /// Returns true if the rule is for packets in this direction.
    pub(super) fn is_for(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|only| only == direction)
    }
}

/// The faults of a relay, which last until others replace them.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    /// The seed of all random draws.
    pub seed: u64,
    /// The rules for relayed packets, of which the first that is for a packet applies.
    pub packets: Vec<PacketRule>,
    /// The rules for requests.
    pub requests: Arc<RequestFaults>,
    /// The counters of the faults.
    pub injected: Arc<Injected>,
}
