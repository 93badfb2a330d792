//! Requests that have come to another worker than the one that has what they are for, and clients
//! that have moved (RFC 8016): what they send comes to whichever worker the system chooses for their
//! new address, and goes on to the one that has their allocation, which answers from there.

use std::{collections::HashMap, ops::Range};

use callbox_base::clock::Now;
use callbox_stun::Request;
use callbox_sys::TrafficClass;
use callbox_turn::{DropReason, FiveTuple};

use super::worker::{Command, Worker};

/// The types of the requests that name what they are for: ConnectionBind (RFC 6062 §6.1), and
/// Refresh with a ticket (RFC 8016 §3.2).
const NAMING: [[u8; 2]; 2] = [[0x00, 0x0b], [0x00, 0x04]];

/// The clients of which one worker has the allocation, and another gets the datagrams. There are no
/// more than clients that have shown a ticket.
pub(super) struct Forwarding {
    /// Whether clients may move.
    enabled: bool,
    /// Whose datagrams go on, and to which worker.
    owners: HashMap<FiveTuple, u16, foldhash::quality::RandomState>,
    /// Whose datagrams another worker sends on, and which one.
    guests: HashMap<FiveTuple, u16>,
}

impl Forwarding {
    pub fn new(enabled: bool) -> Self {
        Self { enabled, owners: HashMap::default(), guests: HashMap::new() }
    }

    /// What comes from a client goes on to another worker from now on.
    pub fn forward(&mut self, tuple: FiveTuple, to: u16) {
        self.owners.insert(tuple, to);
    }

    /// It does so no longer.
    pub fn forget(&mut self, tuple: FiveTuple) {
        self.owners.remove(&tuple);
    }
}

impl Worker {
    /// The worker that a request at this place is for, if it is another one.
    pub(super) fn other_worker(&self, tuple: FiveTuple, place: Range<usize>) -> Option<u16> {
        let bytes = self.batches.bytes(place);
        // What has an allocation stays: the answer is an error, wherever it comes from.
        if !NAMING.iter().any(|typ| bytes.starts_with(typ)) || self.engine.has_allocation(tuple) {
            return None;
        }
        let worker = self.engine.worker_for(&Request::parse(bytes).ok()?)?;
        (worker != self.index && usize::from(worker) < self.others.len()).then_some(worker)
    }

    /// Sends a datagram of a client on, if it is for another worker. `false` if it is not.
    #[inline]
    pub(super) fn forward_to_owner(
        &mut self,
        tuple: FiveTuple,
        class: TrafficClass,
        place: &Range<usize>,
    ) -> bool {
        if !self.forwarding.enabled {
            return false;
        }
        let away = self.forwarding.owners.get(&tuple).copied();
        let Some(to) = away.or_else(|| self.other_worker(tuple, place.clone())) else {
            return false;
        };
        let bytes = self.batches.bytes(place.clone());
        if !self.rings.send_client(to, tuple, class, bytes) {
            self.metrics.dropped(DropReason::SendBufferFull);
        }
        true
    }

    /// Takes in what another worker has sent on, and has it send on what else comes from there if
    /// there is something for it here.
    pub(super) fn take_in(
        &mut self,
        now: Now,
        from: u16,
        tuple: FiveTuple,
        class: TrafficClass,
        place: Range<usize>,
    ) {
        self.route_client(now, tuple, class, place, false);
        if self.engine.has_allocation(tuple) && !self.forwarding.guests.contains_key(&tuple) {
            self.forwarding.guests.insert(tuple, from);
            self.tell(from, Command::Forward { tuple, to: self.index });
        }
    }

    /// A client is not at this address any more.
    pub(super) fn dismiss(&mut self, tuple: FiveTuple) {
        if let Some(from) = self.forwarding.guests.remove(&tuple) {
            self.tell(from, Command::Forget(tuple));
        }
    }

    /// Tells another worker something.
    pub(super) fn tell(&self, worker: u16, command: Command) {
        let Some((commands, waker)) = self.others.get(usize::from(worker)) else { return };
        // Without its receiver the other has ended, as the server does.
        if commands.send(command).is_ok()
            && let Err(error) = waker.wake()
        {
            tracing::error!(%error, "a relay worker cannot be woken");
        }
    }
}
