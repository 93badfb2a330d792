//! Refresh (RFC 8656 §8.2): a longer life for an allocation, or its end.

use std::time::Duration;

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Request, ResponseBuilder};

use crate::{AllocationId, EndReason, Engine, engine::Timer};

impl Engine {
    /// Sets the allocation's expiry anew; a lifetime of 0 closes it. Of a dual allocation it may be
    /// one address only.
    pub(crate) fn refresh(
        &mut self,
        now: Now,
        id: AllocationId,
        request: &Request<'_>,
    ) -> Result<ResponseBuilder, ErrorCode> {
        let delete = request.attributes.lifetime == Some(0);
        let lifetime = match delete {
            true => Duration::ZERO,
            false => self.lifetime(now, &self.open_ref(id)?.owner, request.attributes.lifetime),
        };
        // Whoever shows a ticket gets another (RFC 8016 §3.2.2).
        let shown = request.attributes.mobility_ticket.is_some();
        let mobility = self.open_ref(id)?.mobility.as_ref().filter(|_| shown);
        let ticket = mobility.map(|mobility| mobility.ticket);
        // With a family it is for the address of that family alone, and "does not match that of the
        // allocation" is a 443; without, for all that there is (RFC 8656 §8.1, §8.2).
        let (id, twin) = match request.attributes.requested_family {
            None => (id, self.open_ref(id)?.twin),
            Some(None) => return Err(ErrorCode::PeerAddressFamilyMismatch),
            Some(Some(family)) => (self.part(id, family)?, None),
        };
        for id in [Some(id), twin].into_iter().flatten() {
            if delete {
                self.close(id, EndReason::Released);
            } else {
                let expires = now.instant + lifetime;
                let before = std::mem::replace(&mut self.open_mut(id)?.expires, expires);
                self.timers.reset(before, expires, Timer::Allocation(id));
            }
        }
        let response = ResponseBuilder::success(request).lifetime(lifetime);
        Ok(match ticket {
            Some(ticket) => response.mobility_ticket(ticket.bytes()),
            None => response,
        })
    }
}
