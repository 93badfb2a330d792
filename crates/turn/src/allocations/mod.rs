//! The allocations of a worker, and the indexes by which they are found: by 5-tuple, by call and by
//! user. An index and what it leads to change together, in the methods of [`Allocations`].

mod allocation;
mod opening;

use std::{collections::HashMap, hash::Hash, sync::Arc};

use callbox_base::ids::CallId;
use callbox_stun::{ErrorCode, Family};
use slab::Slab;

pub(super) use self::{
    allocation::Allocation,
    opening::{AllocateRequest, Opening, SecondFamily, Wanted},
};
use super::{AllocationId, FiveTuple, Via};
use crate::auth::TurnIdentity;

/// The number of allocations from which on it is worth to give memory back.
const WORTH_SHRINKING: usize = 1000;

/// The state of what an [`AllocationId`] names.
#[derive(Debug)]
enum Slot {
    /// The socket is being opened; the client has had no answer.
    Opening(Box<Opening>),
    /// The client has had its success.
    Open(Box<Allocation>),
}

/// The allocations of a worker, open ones and those that are being opened.
#[derive(Debug)]
pub(super) struct Allocations {
    slots: Slab<Slot>,
    /// The allocation of each client, the first that is left of a dual one. Looked up for each
    /// packet; an attacker would first have to be given allocations.
    by_tuple: HashMap<FiveTuple, AllocationId, foldhash::quality::RandomState>,
    by_call: HashMap<CallId, Vec<AllocationId>>,
    /// The allocations of each user that are for no call, where they reach what the user's calls
    /// have announced.
    by_user: HashMap<Arc<str>, Vec<AllocationId>>,
    /// True if `by_user` is kept.
    indexes_users: bool,
    /// The number of allocations at which memory is given back.
    shrink_at: Option<usize>,
}

impl Allocations {
    /// Creates an empty set; with `indexes_users` those for no call are found by their user.
    pub(crate) fn new(indexes_users: bool) -> Self {
        Self {
            slots: Slab::new(),
            by_tuple: HashMap::default(),
            by_call: HashMap::new(),
            by_user: HashMap::new(),
            indexes_users,
            shrink_at: None,
        }
    }

    /// Returns the open allocation under an id.
    #[inline]
    pub(crate) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        match self.slots.get(id.0 as usize)? {
            Slot::Open(allocation) => Some(allocation),
            Slot::Opening(_) => None,
        }
    }

    /// Returns the open allocation under an id.
    ///
    /// # Errors
    /// 437 if there is none, or not yet.
    pub(crate) fn open_ref(&self, id: AllocationId) -> Result<&Allocation, ErrorCode> {
        self.get(id).ok_or(ErrorCode::AllocationMismatch)
    }

    /// Returns the open allocation under an id, for a change of what no index depends on.
    ///
    /// # Errors
    /// 437 if there is none, or not yet.
    pub(crate) fn open_mut(&mut self, id: AllocationId) -> Result<&mut Allocation, ErrorCode> {
        match self.slots.get_mut(id.0 as usize) {
            Some(Slot::Open(allocation)) => Ok(allocation),
            _ => Err(ErrorCode::AllocationMismatch),
        }
    }

    /// Returns the open allocation of a client.
    #[inline]
    pub(crate) fn open_on(&self, tuple: FiveTuple) -> Option<(AllocationId, &Allocation)> {
        let id = *self.by_tuple.get(&tuple)?;
        Some((id, self.get(id)?))
    }

    /// Returns the allocation of a client, open or being opened.
    pub(crate) fn on(&self, tuple: FiveTuple) -> Option<AllocationId> {
        self.by_tuple.get(&tuple).copied()
    }

    /// Returns the open allocations.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AllocationId, &Allocation)> {
        self.slots.iter().filter_map(|(id, slot)| match slot {
            Slot::Open(allocation) => Some((AllocationId(id as u32), &**allocation)),
            Slot::Opening(_) => None,
        })
    }

    /// Returns the open allocations, for a change of what no index depends on.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Allocation> {
        self.slots.iter_mut().filter_map(|(_, slot)| match slot {
            Slot::Open(allocation) => Some(&mut **allocation),
            Slot::Opening(_) => None,
        })
    }

    /// Returns the allocations of a call.
    pub(crate) fn of_call(&self, call: CallId) -> &[AllocationId] {
        self.by_call.get(&call).map_or(&[], Vec::as_slice)
    }

    /// Returns the allocations of a user that are for no call, where these are indexed.
    pub(crate) fn of_user(&self, user: &str) -> &[AllocationId] {
        self.by_user.get(user).map_or(&[], Vec::as_slice)
    }

    /// Returns the address of `family` of the allocation that has the address under `id`.
    ///
    /// # Errors
    /// 443 if it has none, 437 if there is no such allocation.
    pub(crate) fn of_family(
        &self,
        id: AllocationId,
        family: Family,
    ) -> Result<AllocationId, ErrorCode> {
        let allocation = self.open_ref(id)?;
        if allocation.family() == family {
            return Ok(id);
        }
        allocation.twin().ok_or(ErrorCode::PeerAddressFamilyMismatch)
    }

    /// Returns every address of the allocation that has the address under `id`.
    pub(crate) fn with_twin(&self, id: AllocationId) -> impl Iterator<Item = &Allocation> {
        let first = self.get(id);
        first.into_iter().chain(first.and_then(|first| self.twin(first)).map(|(_, twin)| twin))
    }

    /// Returns the address of the other family.
    #[inline]
    pub(crate) fn twin(&self, of: &Allocation) -> Option<(AllocationId, &Allocation)> {
        let id = of.twin()?;
        Some((id, self.get(id)?))
    }

    /// Returns the allocation under an id while its socket is being opened.
    pub(crate) fn opening(&self, id: AllocationId) -> Option<&Opening> {
        match self.slots.get(id.0 as usize)? {
            Slot::Opening(opening) => Some(opening),
            Slot::Open(_) => None,
        }
    }

    /// Returns the allocation under an id while its socket is being opened, for a change of what no
    /// index depends on.
    pub(crate) fn opening_mut(&mut self, id: AllocationId) -> Option<&mut Opening> {
        match self.slots.get_mut(id.0 as usize)? {
            Slot::Opening(opening) => Some(opening),
            Slot::Open(_) => None,
        }
    }

    /// Adds an allocation whose socket is to be opened, and leads its client to it.
    pub(crate) fn insert(&mut self, opening: Opening) -> AllocationId {
        let tuple = opening.request().tuple;
        let id = self.insert_second(opening);
        self.by_tuple.insert(tuple, id);
        id
    }

    /// Adds the second address of a dual allocation, whose client is led to the first.
    pub(crate) fn insert_second(&mut self, opening: Opening) -> AllocationId {
        let id = self.slots.insert(Slot::Opening(Box::new(opening)));
        if self.slots.len() >= WORTH_SHRINKING {
            let quarter = self.slots.len() / 4;
            self.shrink_at = Some(self.shrink_at.unwrap_or(0).max(quarter));
        }
        AllocationId(id as u32)
    }

    /// Makes an open allocation of one whose socket is open now.
    pub(crate) fn open(&mut self, id: AllocationId, allocation: Allocation) {
        let owner = allocation.owner();
        match owner.call {
            Some(call) => self.by_call.entry(call).or_default().push(id),
            None if !self.indexes_users => {}
            None => self.by_user.entry(owner.user.clone()).or_default().push(id),
        }
        self.slots[id.0 as usize] = Slot::Open(Box::new(allocation));
    }

    /// Marks an allocation that is being opened as one whose client is gone. Returns false if it is
    /// open already.
    pub(crate) fn abandon(&mut self, id: AllocationId) -> bool {
        let Some(Slot::Opening(opening)) = self.slots.get_mut(id.0 as usize) else { return false };
        opening.abandon();
        self.by_tuple.remove(&opening.request().tuple);
        true
    }

    /// Removes an allocation that was being opened.
    pub(crate) fn remove_opening(&mut self, id: AllocationId) -> Option<Opening> {
        self.opening(id)?;
        let Slot::Opening(opening) = self.slots.try_remove(id.0 as usize)? else { return None };
        let tuple = opening.request().tuple;
        if self.on(tuple) == Some(id) {
            self.by_tuple.remove(&tuple);
        }
        Some(*opening)
    }

    /// Removes an open allocation: its client is left with the other address of a dual one, or with
    /// nothing.
    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        self.get(id)?;
        let Slot::Open(allocation) = self.slots.try_remove(id.0 as usize)? else { return None };
        match allocation.twin() {
            None => drop(self.by_tuple.remove(&allocation.tuple())),
            Some(twin) => {
                if let Some(first) = self.by_tuple.get_mut(&allocation.tuple()) {
                    *first = twin;
                }
                if let Ok(left) = self.open_mut(twin) {
                    left.forget_twin();
                }
            }
        }
        self.forget_owner(id, allocation.owner());
        Some(allocation)
    }

    fn forget_owner(&mut self, id: AllocationId, owner: &TurnIdentity) {
        match owner.call {
            Some(call) => remove_from(&mut self.by_call, &call, id),
            None => remove_from(&mut self.by_user, &owner.user, id),
        }
    }

    /// Leads a client that has moved to its allocation, and the allocation to where it is now.
    /// Returns its 5-tuple before.
    pub(crate) fn relocate(&mut self, id: AllocationId, tuple: FiveTuple) -> Option<FiveTuple> {
        let before = self.get(id)?.tuple();
        self.set_tuple(id, tuple);
        self.by_tuple.insert(tuple, id);
        self.by_tuple.remove(&before);
        Some(before)
    }

    /// Keeps an allocation whose client is gone and may come back from somewhere else.
    pub(crate) fn detach(&mut self, id: AllocationId) {
        let Some(before) = self.get(id).map(Allocation::tuple) else { return };
        self.set_tuple(id, FiveTuple { via: Via::NOWHERE, ..before });
        self.by_tuple.remove(&before);
    }

    fn set_tuple(&mut self, id: AllocationId, tuple: FiveTuple) {
        let twin = self.get(id).and_then(Allocation::twin);
        for id in [Some(id), twin].into_iter().flatten() {
            if let Ok(allocation) = self.open_mut(id) {
                allocation.set_tuple(tuple);
            }
        }
    }

    /// Gives memory back once most allocations are gone: at each quarter of what there was, and at
    /// the end, so that it costs little over all. Returns true if it has.
    pub(crate) fn shrink(&mut self) -> bool {
        let left = self.slots.len();
        if self.shrink_at.is_none_or(|at| left > at) {
            return false;
        }
        let next = if left >= WORTH_SHRINKING { left / 4 } else { 0 };
        self.shrink_at = (left > 0).then_some(next);
        self.slots.shrink_to_fit();
        self.by_tuple.shrink_to_fit();
        self.by_call.shrink_to_fit();
        self.by_user.shrink_to_fit();
        true
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
            && self.by_tuple.is_empty()
            && self.by_call.is_empty()
            && self.by_user.is_empty()
    }
}

/// Takes an id out of a list of the map, and the list with the last one.
fn remove_from<K: Eq + Hash>(map: &mut HashMap<K, Vec<AllocationId>>, key: &K, id: AllocationId) {
    if let Some(ids) = map.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
