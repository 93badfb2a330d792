//! Refresh (RFC 8656 §8.2): a longer life for an allocation, or its end.

use std::time::Duration;

use crate::{
    clock::Now,
    stun::{ErrorCode, Request, ResponseBuilder},
    turn::{AllocationId, Engine, engine::Timer},
};

impl Engine {
    /// Sets the allocation's expiry anew; a lifetime of 0 closes it.
    pub(in crate::turn) fn refresh(
        &mut self,
        now: Now,
        id: AllocationId,
        request: &Request<'_>,
    ) -> Result<ResponseBuilder, ErrorCode> {
        let allocation = self.open_mut(id)?;
        // "If the REQUESTED-ADDRESS-FAMILY … does not match that of the allocation, … 443"
        if let Some(family) = request.attributes.requested_family
            && family != Some(allocation.family())
        {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        let lifetime = if request.attributes.lifetime == Some(0) {
            self.close(id);
            Duration::ZERO
        } else {
            let lifetime = self.lifetime(request.attributes.lifetime);
            let expires = now.instant + lifetime;
            let before = std::mem::replace(&mut self.open_mut(id)?.expires, expires);
            self.timers.reset(before, expires, Timer::Allocation(id));
            lifetime
        };
        Ok(ResponseBuilder::success(request).lifetime(lifetime))
    }
}
