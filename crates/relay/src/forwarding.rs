//! Forwarding between workers: requests that reached a worker other than the one that owns their
//! target, and clients that have moved (RFC 8016). The datagrams of a client that has moved reach
//! whichever worker the system chooses for their new address, and are forwarded to the worker that
//! has the allocation, which answers from there.

use std::{collections::HashMap, ops::Range};

use callbox_base::clock::Now;
use callbox_stun::Request;
use callbox_sys::TrafficClass;
use callbox_turn::{DropReason, FiveTuple};

use super::worker::{Command, Worker};

/// The types of the requests that name their target: ConnectionBind (RFC 6062 §6.1), and Refresh
/// with a ticket (RFC 8016 §3.2).
const NAMING: [[u8; 2]; 2] = [[0x00, 0x0b], [0x00, 0x04]];

/// The clients whose allocation one worker has while another receives their datagrams. There are no
/// more of them than clients that have shown a ticket.
pub(super) struct Forwarding {
    /// True if clients may move.
    enabled: bool,
    /// The clients whose datagrams this worker forwards, each with the index of the worker that has
    /// the allocation.
    owners: HashMap<FiveTuple, u16, foldhash::quality::RandomState>,
    /// The clients whose datagrams another worker forwards to this one, each with that worker's
    /// index.
    guests: HashMap<FiveTuple, u16>,
}

impl Forwarding {
    pub fn new(enabled: bool) -> Self {
        Self { enabled, owners: HashMap::default(), guests: HashMap::new() }
    }

    /// Forwards the datagrams of a client to another worker from now on.
    pub fn forward(&mut self, tuple: FiveTuple, to: u16) {
        self.owners.insert(tuple, to);
    }

    /// Stops forwarding the datagrams of a client.
    pub fn forget(&mut self, tuple: FiveTuple) {
        self.owners.remove(&tuple);
    }
}

impl Worker {
    /// Returns the index of the worker that the request in `range` is for, if it is another one.
    pub(super) fn other_worker(&self, tuple: FiveTuple, range: Range<usize>) -> Option<u16> {
        let bytes = self.batches.bytes(range);
        // A client with an allocation here stays here: the answer is an error on any worker.
        if !NAMING.iter().any(|typ| bytes.starts_with(typ)) || self.engine.has_allocation(tuple) {
            return None;
        }
        let worker = self.engine.worker_for(&Request::parse(bytes).ok()?)?;
        (worker != self.index && usize::from(worker) < self.others.len()).then_some(worker)
    }

    /// Forwards a datagram of a client if it is for another worker. Returns false if it is not.
    #[inline]
    pub(super) fn forward_to_owner(
        &mut self,
        tuple: FiveTuple,
        class: TrafficClass,
        range: &Range<usize>,
    ) -> bool {
        if !self.forwarding.enabled {
            return false;
        }
        let away = self.forwarding.owners.get(&tuple).copied();
        let Some(to) = away.or_else(|| self.other_worker(tuple, range.clone())) else {
            return false;
        };
        let bytes = self.batches.bytes(range.clone());
        if !self.rings.send_client(to, tuple, class, bytes) {
            self.metrics.dropped(DropReason::SendBufferFull);
        }
        true
    }

    /// Processes a datagram that another worker has forwarded. If its client has an allocation here
    /// now, that worker is told to forward the client's further datagrams, too.
    pub(super) fn process_forwarded(
        &mut self,
        now: Now,
        from: u16,
        tuple: FiveTuple,
        class: TrafficClass,
        range: Range<usize>,
    ) {
        self.route_client(now, tuple, class, range, false);
        if self.engine.has_allocation(tuple) && !self.forwarding.guests.contains_key(&tuple) {
            self.forwarding.guests.insert(tuple, from);
            self.send_command(from, Command::Forward { tuple, to: self.index });
        }
    }

    /// Tells the forwarding worker, if there is one, that a client is no longer at this address.
    pub(super) fn stop_forwarding(&mut self, tuple: FiveTuple) {
        if let Some(from) = self.forwarding.guests.remove(&tuple) {
            self.send_command(from, Command::Forget(tuple));
        }
    }

    /// Sends a command to another worker.
    pub(super) fn send_command(&self, worker: u16, command: Command) {
        let Some((commands, waker)) = self.others.get(usize::from(worker)) else { return };
        // A closed channel means that the other worker has ended, as the server is doing.
        if commands.send(command).is_ok()
            && let Err(error) = waker.wake()
        {
            tracing::error!(%error, "a relay worker cannot be woken");
        }
    }
}
