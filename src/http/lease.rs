//! The slot that a connection takes for as long as it is open.

use std::net::IpAddr;

use super::{
    admission::Upgraded,
    counters::{Counted, Refusal},
    limits::{Purpose, Slot},
};

/// A connection's slot among the others, whatever its protocol; freed when dropped.
#[derive(Debug)]
pub struct Lease {
    slot: Slot,
    _counted: Counted,
    /// If it is a trusted proxy's: the slot of the client whose WebSocket it becomes.
    upgraded: Option<Upgraded>,
}

impl Lease {
    /// Holds the slot and the count of a connection whose client is not known yet.
    pub(super) fn new(slot: Slot, counted: Counted) -> Self {
        Self { slot, _counted: counted, upgraded: None }
    }

    /// Assigns the slot to a trusted proxy, which may have any number of them.
    pub(super) fn of_proxy(self) -> Self {
        Self { upgraded: Some(Upgraded::default()), ..self }
    }

    /// Assigns the slot to a client's address, if there is room for that address.
    pub(super) fn name(self, address: IpAddr) -> Result<Self, Refusal> {
        Ok(Self { slot: self.slot.name(address)?, ..self })
    }

    /// Changes the purpose of the slot, if there is room for the other.
    pub(super) fn take_for(&mut self, purpose: Purpose) -> Result<(), Refusal> {
        self.slot.take_for(purpose)
    }

    /// Returns the slot of the client whose WebSocket the connection becomes, if it is a trusted
    /// proxy's.
    pub(super) fn upgraded(&self) -> Option<Upgraded> {
        self.upgraded.clone()
    }
}
