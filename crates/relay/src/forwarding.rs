//! Clients that have moved (RFC 8016), and whose datagrams are forwarded between workers: they
//! reach whichever worker the system chooses for their new address, and are forwarded to the worker
//! that has the allocation, which answers from there.

use std::collections::HashMap;

use callbox_turn::FiveTuple;

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
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, owners: HashMap::default(), guests: HashMap::new() }
    }

    /// Forwards the datagrams of a client to another worker from now on.
    pub(crate) fn forward(&mut self, tuple: FiveTuple, to: u16) {
        self.owners.insert(tuple, to);
    }

    /// Stops forwarding the datagrams of a client.
    pub(crate) fn forget(&mut self, tuple: FiveTuple) {
        self.owners.remove(&tuple);
    }

    /// Returns true if any datagram may be for another worker.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Returns the index of the worker that has the allocation of a client, if it is another one.
    #[inline]
    pub(crate) fn owner(&self, tuple: FiveTuple) -> Option<u16> {
        self.owners.get(&tuple).copied()
    }

    /// Notes that another worker forwards the datagrams of a client to this one. Returns true if
    /// that was not known: then that worker is to forward all of them.
    pub(crate) fn add_guest(&mut self, tuple: FiveTuple, from: u16) -> bool {
        if self.guests.contains_key(&tuple) {
            return false;
        }
        self.guests.insert(tuple, from);
        true
    }

    /// Notes that a client is no longer at this address. Returns the index of the worker that
    /// forwards its datagrams, which is to stop.
    pub(crate) fn remove_guest(&mut self, tuple: FiveTuple) -> Option<u16> {
        self.guests.remove(&tuple)
    }
}
