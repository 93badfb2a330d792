//! Dual allocations (RFC 8656 §7.2): an IPv4 and an IPv6 address for one client.
//!
//! Each of the two is an allocation of its own, with its own socket, its own life, permissions and
//! channels. The client's 5-tuple leads to the first that is left, and that one knows its twin. So a
//! packet from a peer finds its way as ever, and one to a peer looks at a twin only where there is
//! one.

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, EvenPort, Family};

use super::{
    AllocationId, EndReason, Engine, Output,
    allocation::{Allocation, Opening, SecondFamily, Slot, Transport, Wanted},
};

impl Engine {
    /// The address of `family` of the allocation that has the address under `id`.
    ///
    /// # Errors
    /// 443 if it has none, 437 if there is no such allocation.
    pub(super) fn part(&self, id: AllocationId, family: Family) -> Result<AllocationId, ErrorCode> {
        let allocation = self.open_ref(id)?;
        if allocation.family() == family {
            return Ok(id);
        }
        allocation.twin.ok_or(ErrorCode::PeerAddressFamilyMismatch)
    }

    /// Every address of the allocation that has the address under `id`.
    pub(super) fn parts(&self, id: AllocationId) -> impl Iterator<Item = &Allocation> {
        let first = self.open_ref(id).ok();
        first.into_iter().chain(first.and_then(|first| self.twin(first)).map(|(_, twin)| twin))
    }

    /// The address of the other family.
    #[inline]
    pub(super) fn twin(&self, of: &Allocation) -> Option<(AllocationId, &Allocation)> {
        let id = of.twin?;
        Some((id, self.open_ref(id).ok()?))
    }

    /// Closes both addresses, or the one that there is.
    pub(super) fn close_whole(&mut self, id: AllocationId, reason: EndReason) {
        let twin = self.open_ref(id).ok().and_then(|allocation| allocation.twin);
        self.close(id, reason);
        if let Some(twin) = twin {
            self.close(twin, reason);
        }
    }

    /// An address is gone: the client is left with the other one, or with nothing.
    pub(super) fn part_from_twin(&mut self, gone: &Allocation) {
        match gone.twin {
            None => {
                self.by_tuple.remove(&gone.tuple);
                if self.common.is_mobile() {
                    // Another worker may be sending on what comes from there.
                    self.outputs.push_back(Output::Forget { tuple: gone.tuple });
                }
            }
            Some(twin) => {
                if let Some(first) = self.by_tuple.get_mut(&gone.tuple) {
                    *first = twin;
                }
                if let Ok(left) = self.open_mut(twin) {
                    left.twin = None;
                }
            }
        }
    }

    /// It is known what becomes of the IPv4 address: now the IPv6 one is opened. Whichever of them
    /// can be had is given (RFC 8656 §7.2).
    pub(super) fn open_v6(&mut self, now: Now, id: AllocationId, v4: Result<(), ErrorCode>) {
        let Some(Slot::Opening(first)) = self.slots.get(id.0 as usize) else { return };
        let first = Opening::clone(first);
        if v4.is_err() {
            // Before another is taken, so that it does not count twice.
            self.give_back(&first);
        }
        // EVEN-PORT holds for both; it comes without R here.
        let even = matches!(first.wanted, Wanted::Even(_));
        let even = even.then_some(EvenPort { reserve_next: false });
        let v6 = self.take(first.tuple, &first.identity.user, Family::V6, even);
        match (v4, v6) {
            (Ok(()), Ok(taken)) => {
                let second = Opening {
                    taken,
                    attempts: 1,
                    second_family: SecondFamily::Opened(id),
                    ..first
                };
                let slot = Slot::Opening(Box::new(second));
                let second = AllocationId(self.slots.insert(slot) as u32);
                self.grown();
                self.open_socket(second);
            }
            (Ok(()), Err(code)) => {
                self.lacks(id, code);
                self.settle(now, id, None);
            }
            (Err(code), Ok(taken)) => {
                self.lacks(id, code);
                if let Some(Slot::Opening(opening)) = self.slots.get_mut(id.0 as usize) {
                    opening.taken = taken;
                    opening.attempts = 1;
                }
                self.open_socket(id);
            }
            (Err(code), Err(_)) => self.refuse_allocate(now, id, code, false),
        }
    }

    /// The IPv6 address cannot be had: the client gets the IPv4 one alone.
    pub(super) fn go_without_v6(
        &mut self,
        now: Now,
        first: AllocationId,
        second: AllocationId,
        code: ErrorCode,
    ) {
        self.drop_opening(second);
        self.lacks(first, code);
        self.settle(now, first, None);
    }

    /// Gives back what was taken for an address that is not opened after all.
    pub(super) fn drop_opening(&mut self, id: AllocationId) {
        if let Some(Slot::Opening(opening)) = self.slots.try_remove(id.0 as usize) {
            self.give_back(&opening);
        }
    }

    /// Notes why the other address cannot be had: 440 or 508 (RFC 8656 §18.12), whatever limit it
    /// is.
    fn lacks(&mut self, id: AllocationId, code: ErrorCode) {
        if let Some(Slot::Opening(opening)) = self.slots.get_mut(id.0 as usize) {
            opening.second_family = SecondFamily::Failed(match code {
                ErrorCode::AddressFamilyNotSupported => code,
                _ => ErrorCode::InsufficientCapacity,
            });
        }
    }

    /// Has the socket of an address opened.
    pub(super) fn open_socket(&mut self, id: AllocationId) {
        if let Some(Slot::Opening(opening)) = self.slots.get(id.0 as usize) {
            let address = (opening.taken.ip.0, opening.taken.port).into();
            let errors = opening.hears_icmp;
            self.outputs.push_back(match opening.transport {
                Transport::Udp => Output::OpenRelay { allocation: id, address, errors },
                Transport::Tcp => Output::ListenRelay { allocation: id, address },
            });
        }
    }
}
