//! Mobility (RFC 8016): a client that comes from another address keeps its allocation.
//!
//! With its allocation the client gets a ticket. From where it is now it sends the ticket in a
//! Refresh, and gets another one. Until something else comes from there its old address counts, in
//! both directions (§3.2.2): the answer may be lost, and the client may try again, or come from
//! somewhere else still.

use callbox_stun::{ErrorCode, Kind, Method, Request};
use rand::Rng;
use subtle::ConstantTimeEq;

use super::{
    AllocationId, Engine, FiveTuple, Output, StreamId, Via, allocation::Allocation, engine::check,
};
use crate::auth::TurnIdentity;

/// What a client proves with that an allocation is its own: the place of the worker, the allocation's
/// number there, and 128 random bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket([u8; Self::LEN]);

impl Ticket {
    const LEN: usize = 2 + 4 + 16;

    fn new(rng: &mut impl Rng, worker: u16, number: u32) -> Self {
        let mut bytes: [u8; Self::LEN] = [0; Self::LEN];
        bytes[..2].copy_from_slice(&worker.to_be_bytes());
        bytes[2..6].copy_from_slice(&number.to_be_bytes());
        rng.fill(&mut bytes[6..]);
        Self(bytes)
    }

    fn read(value: &[u8]) -> Option<Self> {
        value.try_into().ok().map(Self)
    }

    fn worker(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    fn number(&self) -> u32 {
        u32::from_be_bytes([self.0[2], self.0[3], self.0[4], self.0[5]])
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What an allocation has whose client may move.
#[derive(Debug)]
pub(super) struct Mobility {
    pub ticket: Ticket,
    /// The ticket that the client has shown, until it is heard from where it came with it.
    shown: Option<Ticket>,
    /// Where that is.
    next: Option<FiveTuple>,
}

impl Mobility {
    fn number(&self) -> u32 {
        self.ticket.number()
    }
}

#[cfg(test)]
impl Engine {
    /// Fails unless each allocation leads to a stream that there is, or nowhere, and what is expected
    /// from where is known on both sides.
    pub fn assert_mobility_fits(&self) {
        let mut expected = 0;
        for (id, slot) in &self.slots {
            let super::allocation::Slot::Open(allocation) = slot else { continue };
            let Allocation { tuple, mobility, .. } = &**allocation;
            if let Via::Stream(StreamId(stream)) = tuple.via
                && tuple.via != NOWHERE
            {
                assert!(self.streams.contains(stream as usize), "{tuple:?} has no stream");
            }
            let Some(mobility) = mobility else { continue };
            assert_eq!(self.mobile.get(&mobility.number()), Some(&AllocationId(id as u32)));
            if let Some(next) = mobility.next {
                assert_eq!(self.arriving.get(&next), Some(&mobility.number()));
                expected += 1;
            }
        }
        assert_eq!(self.arriving.len(), expected);
    }
}

/// The way to a client whose stream is gone and that has not come back: no stream has this name.
const NOWHERE: Via = Via::Stream(StreamId(u32::MAX));

impl Engine {
    /// Whether this Refresh shows a ticket, of which more is said elsewhere.
    fn ticket(&self, request: &Request<'_>) -> Option<Result<Ticket, ErrorCode>> {
        let shown =
            request.attributes.mobility_ticket.filter(|_| request.method == Method::Refresh);
        let value = shown.filter(|_| self.common.config.mobility)?;
        Some(Ticket::read(value).ok_or(ErrorCode::AllocationMismatch))
    }

    /// Returns the place of the worker that a request is for, if it names one: a ConnectionBind by
    /// the number of its connection, and a Refresh by its mobility ticket. The request must then be
    /// handed to that worker's engine, whichever it has come to.
    pub fn worker_for(&self, request: &Request<'_>) -> Option<u16> {
        match request.method {
            Method::ConnectionBind => request.attributes.connection_id.map(Self::connection_worker),
            Method::Refresh => Some(self.ticket(request)?.ok()?.worker()),
            _ => None,
        }
    }

    /// Whether an Allocate asks for mobility.
    ///
    /// # Errors
    /// 405 if there is none: it is off, or streams of the client's own belong to what it would have
    /// (RFC 6062). 400 for a ticket where there is none yet (RFC 8016 §3.1.2).
    pub(super) fn asks_for_mobility(
        &self,
        request: &Request<'_>,
        may: bool,
    ) -> Result<bool, ErrorCode> {
        match request.attributes.mobility_ticket {
            None => Ok(false),
            Some([]) if may && self.common.config.mobility => Ok(true),
            Some([]) => Err(ErrorCode::MobilityForbidden),
            Some(_) => Err(ErrorCode::BadRequest),
        }
    }

    /// Makes an allocation one whose client may move.
    pub(super) fn make_mobile(&mut self, id: AllocationId) {
        let number = loop {
            let number = self.rng.random();
            if !self.mobile.contains_key(&number) {
                break number;
            }
        };
        let ticket = Ticket::new(&mut self.rng, self.worker, number);
        if let Ok(allocation) = self.open_mut(id) {
            let mobility = Mobility { ticket, shown: None, next: None };
            allocation.mobility = Some(Box::new(mobility));
            self.mobile.insert(number, id);
        }
    }

    /// The allocation that a request is for.
    pub(super) fn addressed(
        &self,
        tuple: FiveTuple,
        request: &Request<'_>,
    ) -> Option<AllocationId> {
        let here = self.by_tuple.get(&tuple).copied();
        here.or_else(|| self.arriving(tuple)).or_else(|| self.shown(request))
    }

    /// The allocation whose client has said that it is at this address now.
    fn arriving(&self, tuple: FiveTuple) -> Option<AllocationId> {
        self.mobile.get(self.arriving.get(&tuple)?).copied()
    }

    /// The allocation of the ticket that a request shows.
    fn shown(&self, request: &Request<'_>) -> Option<AllocationId> {
        let ticket = self.ticket(request)?.ok()?;
        let id = *self.mobile.get(&ticket.number())?;
        let mobility = self.open_ref(id).ok()?.mobility.as_ref()?;
        let known = [Some(mobility.ticket), mobility.shown];
        known.iter().flatten().any(|known| known.is(&ticket)).then_some(id)
    }

    /// The allocation that an authenticated request is for, other than Allocate: what has a ticket is
    /// for the ticket's, and its client may have moved; with anything else it has arrived.
    ///
    /// # Errors
    /// 437 if there is none, 441 for another user's.
    pub(super) fn find(
        &mut self,
        tuple: FiveTuple,
        identity: &TurnIdentity,
        request: &Request<'_>,
    ) -> Result<AllocationId, ErrorCode> {
        let here = self.by_tuple.get(&tuple).copied();
        let id = match self.ticket(request) {
            None => here.or_else(|| self.arriving(tuple)),
            Some(_) => self.shown(request).filter(|shown| here.is_none_or(|here| here == *shown)),
        };
        let id = id.ok_or(ErrorCode::AllocationMismatch)?;
        if self.open_ref(id)?.owner.username != identity.username {
            return Err(ErrorCode::WrongCredentials);
        }
        match self.ticket(request) {
            Some(ticket) => self.expect(id, tuple, ticket?)?,
            None => drop(self.arrive(tuple)),
        }
        Ok(id)
    }

    /// The client says where it is now: at another address, or back at the one that counts.
    ///
    /// # Errors
    /// 437 if it has said of another allocation that it is there.
    fn expect(
        &mut self,
        id: AllocationId,
        tuple: FiveTuple,
        shown: Ticket,
    ) -> Result<(), ErrorCode> {
        let allocation = self.open_ref(id)?;
        let mobility = allocation.mobility.as_ref().ok_or(ErrorCode::AllocationMismatch)?;
        if self.arriving.get(&tuple).is_some_and(|other| *other != mobility.number()) {
            return Err(ErrorCode::AllocationMismatch);
        }
        if mobility.next == Some(tuple) {
            // The answer was lost: it gets the same again.
            return Ok(());
        }
        let (number, before) = (mobility.number(), mobility.next);
        let away = allocation.tuple.via == NOWHERE;
        let next = (allocation.tuple != tuple).then_some(tuple);
        let ticket = Ticket::new(&mut self.rng, self.worker, number);
        if let Ok(Allocation { mobility: Some(mobility), .. }) = self.open_mut(id) {
            **mobility = Mobility { ticket, shown: Some(shown), next };
        }
        if let Some(before) = before {
            self.forget(before);
        }
        if let Some(next) = next {
            self.arriving.insert(next, number);
        }
        if away {
            // There is no other address that could count.
            self.arrive(tuple);
        }
        Ok(())
    }

    /// Something came from an address: if a client has said that it is there, its allocation is
    /// there from now on. Whether one is.
    fn arrive(&mut self, tuple: FiveTuple) -> bool {
        let Some(number) = self.arriving.remove(&tuple) else { return false };
        let Some(id) = self.mobile.get(&number).copied() else { return false };
        let Ok(allocation) = self.open_mut(id) else { return false };
        if let Some(mobility) = &mut allocation.mobility {
            mobility.shown = None;
            mobility.next = None;
        }
        let (before, twin) = (allocation.tuple, allocation.twin);
        for part in [Some(id), twin].into_iter().flatten() {
            if let Ok(part) = self.open_mut(part) {
                part.tuple = tuple;
            }
        }
        self.by_tuple.insert(tuple, id);
        self.by_tuple.remove(&before);
        self.outputs.push_back(Output::Forget { tuple: before });
        true
    }

    /// A message that needs no answer has come from an address where a client may have arrived.
    #[cold]
    pub(super) fn may_have_arrived(&mut self, tuple: FiveTuple, bytes: &[u8]) {
        let is_data = match Kind::of(bytes) {
            Kind::ChannelData => true,
            Kind::Stun => Request::parse(bytes)
                .is_ok_and(|request| request.method == Method::Send && check(&request).is_ok()),
            Kind::Other => false,
        };
        if is_data {
            self.arrive(tuple);
        }
    }

    /// Nothing is expected from an address any more.
    fn forget(&mut self, tuple: FiveTuple) {
        self.arriving.remove(&tuple);
        self.outputs.push_back(Output::Forget { tuple });
    }

    /// A client's stream is gone. `true` if its allocation stays, since it may have moved.
    pub(super) fn stream_lost(&mut self, tuple: FiveTuple) -> bool {
        if let Some(id) = self.arriving(tuple) {
            self.arriving.remove(&tuple);
            if let Ok(Allocation { mobility: Some(mobility), .. }) = self.open_mut(id) {
                mobility.next = None;
            }
            return true;
        }
        let Some(id) = self.by_tuple.get(&tuple).copied() else { return false };
        let Ok(Allocation { mobility: Some(mobility), twin, .. }) = self.open_ref(id) else {
            return false;
        };
        let (next, twin) = (mobility.next, *twin);
        if next.is_some_and(|next| self.arrive(next)) {
            return true;
        }
        for part in [Some(id), twin].into_iter().flatten() {
            if let Ok(part) = self.open_mut(part) {
                part.tuple.via = NOWHERE;
            }
        }
        self.by_tuple.remove(&tuple);
        true
    }

    /// An allocation is gone, or only this address of it and `left` is the other.
    pub(super) fn end_mobility(&mut self, mobility: Box<Mobility>, left: Option<AllocationId>) {
        if let Some(left) = left {
            self.mobile.insert(mobility.number(), left);
            if let Ok(left) = self.open_mut(left) {
                left.mobility = Some(mobility);
            }
            return;
        }
        self.mobile.remove(&mobility.number());
        if let Some(next) = mobility.next {
            self.forget(next);
        }
    }
}
