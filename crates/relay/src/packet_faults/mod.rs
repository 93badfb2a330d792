//! The faults of a worker's relayed packets: the links with faults, and the packets that are held
//! back. It exists in a worker only while there are rules for packets.

mod delay_queue;
mod link;
mod rule;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Instant};

use callbox_sys::TrafficClass;
use callbox_turn::{AllocationId, CallId, Direction, FiveTuple, HandOver, faults::Injection};

pub(super) use self::link::Fate;
pub use self::rule::{FaultPlan, PacketRule};
use self::{delay_queue::DelayQueue, link::Link};

/// The way of a packet that the engine has judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From an allocation's socket to a peer.
    ToPeer { to: SocketAddr, dont_fragment: bool },
    /// To another allocation of this server.
    HandOver(HandOver),
    /// To the client of an allocation.
    ToClient(FiveTuple),
}

impl Way {
    /// Returns the direction, as the allocation's client sees it.
    pub(crate) fn direction(self) -> Direction {
        match self {
            Self::ToPeer { .. } | Self::HandOver(_) => Direction::Up,
            Self::ToClient(_) => Direction::Down,
        }
    }
}

/// A packet on its way from or to the client of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Routed {
    /// The allocation whose link it uses.
    pub allocation: AllocationId,
    pub way: Way,
    pub class: TrafficClass,
}

/// A link with the number of its rule.
type Ruled = (usize, Link);

/// The faults of a worker's packets.
#[derive(Debug)]
pub(super) struct PacketFaults {
    plan: Arc<FaultPlan>,
    /// The links of the allocations that have relayed anything since the rules are there; `None`
    /// for one without a rule.
    links: HashMap<(AllocationId, Direction), Option<Ruled>>,
    held: DelayQueue<Routed>,
}

impl PacketFaults {
    /// Makes the faults of a plan; `None` if it has no rules for packets.
    pub(crate) fn new(plan: Arc<FaultPlan>) -> Option<Box<Self>> {
        let has_rules = !plan.packets.is_empty();
        let faults = || Self { plan, links: HashMap::new(), held: DelayQueue::default() };
        has_rules.then(|| Box::new(faults()))
    }

    /// Decides on a packet of `len` bytes of an allocation with this owner.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        id: AllocationId,
        (user, call): (&str, Option<CallId>),
        direction: Direction,
        len: usize,
    ) -> Fate {
        let plan = &self.plan;
        let link = self.links.entry((id, direction)).or_insert_with(|| {
            let is_meant =
                |rule: &PacketRule| rule.is_for(direction) && rule.selector.includes(user, call);
            let rule = plan.packets.iter().position(is_meant)?;
            Some((rule, Link::new(now, plan.seed, user, direction)))
        });
        match link {
            Some((rule, link)) => link.judge(now, &plan.packets[*rule], len, &plan.injected),
            None => Fate::Once(now),
        }
    }

    /// Holds a packet back until it is due. It is dropped if too many are held back.
    pub(crate) fn hold(&mut self, due: Instant, packet: Routed, bytes: &[u8]) {
        if !self.held.push(due, packet, bytes) {
            self.plan.injected.add(Injection::PacketOverflowed);
        }
    }

    /// Takes out the next packet that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Routed, Box<[u8]>)> {
        self.held.pop(now)
    }

    /// Takes out the next packet, whenever it is due.
    pub(crate) fn pop_any(&mut self) -> Option<(Routed, Box<[u8]>)> {
        self.held.pop_any()
    }

    /// Returns the time at which the next packet is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.held.next_due()
    }

    /// Forgets an allocation that is closed, with its packets: another may get its name.
    pub(crate) fn forget(&mut self, id: AllocationId) {
        self.links.remove(&(id, Direction::Up));
        self.links.remove(&(id, Direction::Down));
        self.held.retain(|packet| packet.allocation != id);
    }
}
