//! The clients that may move (RFC 8016): their tickets, and the addresses at which they are
//! expected.
//!
//! With its allocation the client gets a ticket. From where it is now it sends the ticket in a
//! Refresh, and gets another one. Until something else comes from there its old address counts, in
//! both directions (§3.2.2): the answer may be lost, and the client may try again, or come from
//! somewhere else still.

use std::collections::HashMap;

use callbox_stun::ErrorCode;
use rand::Rng;
use subtle::ConstantTimeEq;

use super::{AllocationId, FiveTuple};

/// Names a client that may move within its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MobileNumber(u32);

/// A client's proof that an allocation is its own: the index of the worker, the client's number
/// there, and 128 random bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket([u8; Self::LEN]);

impl Ticket {
    const LEN: usize = 2 + 4 + 16;

    fn new(rng: &mut impl Rng, worker: u16, MobileNumber(number): MobileNumber) -> Self {
        let mut bytes: [u8; Self::LEN] = [0; Self::LEN];
        bytes[..2].copy_from_slice(&worker.to_be_bytes());
        bytes[2..6].copy_from_slice(&number.to_be_bytes());
        rng.fill(&mut bytes[6..]);
        Self(bytes)
    }

    /// Reads the value of a MOBILITY-TICKET.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        value.try_into().ok().map(Self)
    }

    /// Returns the index of the worker that has the allocation.
    pub(crate) fn worker(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    fn number(&self) -> MobileNumber {
        MobileNumber(u32::from_be_bytes([self.0[2], self.0[3], self.0[4], self.0[5]]))
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A client that may move.
#[derive(Debug)]
struct MobileClient {
    allocation: AllocationId,
    ticket: Ticket,
    /// The ticket that the client has shown, until it is heard from where it came with it.
    presented: Option<Ticket>,
    /// The address that it came from with that ticket.
    next: Option<FiveTuple>,
}

/// The clients of a worker that may move.
#[derive(Debug)]
pub(super) struct Mobility {
    /// The worker's index, which is in each ticket.
    worker: u16,
    clients: HashMap<MobileNumber, MobileClient>,
    /// The client that is expected at each address: the `next` of each client, by address.
    arriving: HashMap<FiveTuple, MobileNumber, foldhash::quality::RandomState>,
}

impl Mobility {
    pub(crate) fn new(worker: u16) -> Self {
        Self { worker, clients: HashMap::new(), arriving: HashMap::default() }
    }

    /// Returns true if any client is expected at another address.
    #[inline]
    pub(crate) fn expects_any(&self) -> bool {
        !self.arriving.is_empty()
    }

    /// Returns true if a client is expected at this address.
    pub(crate) fn is_expected(&self, tuple: FiveTuple) -> bool {
        self.arriving.contains_key(&tuple)
    }

    /// Adds the client of an allocation, with a first ticket.
    pub(crate) fn insert(&mut self, rng: &mut impl Rng, allocation: AllocationId) -> MobileNumber {
        let number = loop {
            let number = MobileNumber(rng.random());
            if !self.clients.contains_key(&number) {
                break number;
            }
        };
        let ticket = Ticket::new(rng, self.worker, number);
        let client = MobileClient { allocation, ticket, presented: None, next: None };
        self.clients.insert(number, client);
        number
    }

    /// Returns the client's current ticket.
    pub(crate) fn ticket(&self, number: MobileNumber) -> Option<&Ticket> {
        self.clients.get(&number).map(|client| &client.ticket)
    }

    /// Returns the allocation whose client has said that it is at this address now.
    pub(crate) fn allocation_arriving(&self, tuple: FiveTuple) -> Option<AllocationId> {
        Some(self.clients.get(self.arriving.get(&tuple)?)?.allocation)
    }

    /// Returns the allocation of a ticket: the current one, or the one before until the client has
    /// arrived.
    pub(crate) fn allocation_of(&self, ticket: &Ticket) -> Option<AllocationId> {
        let client = self.clients.get(&ticket.number())?;
        let known = [Some(client.ticket), client.presented];
        known.iter().flatten().any(|known| known.is(ticket)).then_some(client.allocation)
    }

    /// Notes that a client has shown a ticket at `tuple`, and gives it another one; with `is_there`
    /// its allocation leads there already. A repeated request changes nothing: its answer was lost.
    /// Returns the address at which the client was expected before.
    ///
    /// # Errors
    /// 437 if another client is expected at `tuple`.
    pub(crate) fn expect(
        &mut self,
        rng: &mut impl Rng,
        number: MobileNumber,
        tuple: FiveTuple,
        presented: Ticket,
        is_there: bool,
    ) -> Result<Expected, ErrorCode> {
        if self.arriving.get(&tuple).is_some_and(|other| *other != number) {
            return Err(ErrorCode::AllocationMismatch);
        }
        let client = self.clients.get_mut(&number).ok_or(ErrorCode::AllocationMismatch)?;
        if client.next == Some(tuple) {
            return Ok(Expected::Already);
        }
        client.ticket = Ticket::new(rng, self.worker, number);
        client.presented = Some(presented);
        let before = std::mem::replace(&mut client.next, (!is_there).then_some(tuple));
        if let Some(before) = before {
            self.arriving.remove(&before);
        }
        if !is_there {
            self.arriving.insert(tuple, number);
        }
        Ok(Expected::Now { before })
    }

    /// Notes that something came from an address. If a client is expected there, it has arrived;
    /// returns its allocation.
    pub(crate) fn arrive(&mut self, tuple: FiveTuple) -> Option<AllocationId> {
        let number = self.arriving.remove(&tuple)?;
        let client = self.clients.get_mut(&number)?;
        client.presented = None;
        client.next = None;
        Some(client.allocation)
    }

    /// Expects nobody at an address any more. Returns true if a client was expected there.
    pub(crate) fn stop_expecting(&mut self, tuple: FiveTuple) -> bool {
        let Some(number) = self.arriving.remove(&tuple) else { return false };
        if let Some(client) = self.clients.get_mut(&number) {
            client.next = None;
        }
        true
    }

    /// Returns the address at which a client is expected.
    pub(crate) fn next(&self, number: MobileNumber) -> Option<FiveTuple> {
        self.clients.get(&number)?.next
    }

    /// Gives a client's ticket to the other address of its dual allocation.
    pub(crate) fn pass_on(&mut self, number: MobileNumber, allocation: AllocationId) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.allocation = allocation;
        }
    }

    /// Removes the client of an allocation that is closed. Returns the address at which it was
    /// expected.
    pub(crate) fn remove(&mut self, number: MobileNumber) -> Option<FiveTuple> {
        let next = self.clients.remove(&number)?.next?;
        self.arriving.remove(&next);
        Some(next)
    }

    pub(crate) fn shrink(&mut self) {
        self.clients.shrink_to_fit();
        self.arriving.shrink_to_fit();
    }

    /// Fails unless each client that is expected somewhere is found by that address, and no other
    /// is. Returns the allocation of each client with its number.
    #[cfg(test)]
    pub(crate) fn assert_consistent(&self) -> HashMap<MobileNumber, AllocationId> {
        let next = |(number, client): (&MobileNumber, &MobileClient)| Some((client.next?, *number));
        let expected: HashMap<_, _> = self.clients.iter().filter_map(next).collect();
        assert_eq!(expected.len(), self.arriving.len());
        assert!(expected.iter().all(|(tuple, number)| self.arriving.get(tuple) == Some(number)));
        self.clients.iter().map(|(number, client)| (*number, client.allocation)).collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.arriving.is_empty()
    }
}

/// The outcome of [`Mobility::expect`].
pub(super) enum Expected {
    /// The client was expected there already.
    Already,
    /// It is expected there from now on, no longer at `before`.
    Now { before: Option<FiveTuple> },
}
