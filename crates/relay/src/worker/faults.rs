//! The decision on a packet while a test wants faults.

use std::ops::Range;

use callbox_base::clock::Now;

use super::Worker;
use crate::packet_faults::{Fate, Routed};

/// Decides on the packet in `range`. Returns the number of copies to send now; `None` if it is lost
/// or held back.
pub(super) fn judge(
    worker: &mut Worker,
    now: Now,
    packet: Routed,
    range: &Range<usize>,
) -> Option<u8> {
    let Routed { allocation, way, .. } = packet;
    let owner = worker.engine.owner(allocation)?;
    let faults = worker.packet_faults.as_mut()?;
    let fate = faults.judge(now.instant, allocation, owner, way.direction(), range.len());
    let (due, copies) = match fate {
        Fate::Lost => {
            worker.engine.packet_lost(allocation, way.direction());
            return None;
        }
        Fate::Once(due) => (due, 1),
        Fate::Twice(due) => (due, 2),
    };
    if due <= now.instant {
        return Some(copies);
    }
    let bytes = worker.batches.bytes(range.clone());
    for _ in 0..copies {
        faults.hold(due, packet, bytes);
    }
    None
}
