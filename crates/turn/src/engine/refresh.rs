//! Refresh (RFC 8656 §8.2): a longer life for an allocation, or its end.

use std::time::Duration;

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Request, ResponseBuilder};

use super::{Engine, closing, opening};
use crate::{AllocationId, EndReason};

/// Sets the allocation's expiry anew; a lifetime of 0 closes it. Of a dual allocation it may be one
/// address only.
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    request: &Request<'_>,
) -> Result<ResponseBuilder, ErrorCode> {
    let allocation = engine.allocations.open_ref(id)?;
    let requested = request.attributes.lifetime;
    let delete = requested == Some(0);
    let lifetime = match delete {
        true => Duration::ZERO,
        false => opening::lifetime(&engine.common, now, allocation.owner(), requested),
    };
    // Whoever shows a ticket gets another (RFC 8016 §3.2.2).
    let has_ticket = request.attributes.mobility_ticket.is_some();
    let mobility = allocation.mobility().filter(|_| has_ticket);
    let ticket = mobility.and_then(|number| engine.mobility.ticket(number)).copied();
    // With a family it is for the address of that family alone, and "does not match that of the
    // allocation" is a 443; without, for all that there is (RFC 8656 §8.1, §8.2).
    let (id, twin) = match request.attributes.requested_family {
        None => (id, allocation.twin()),
        Some(None) => return Err(ErrorCode::PeerAddressFamilyMismatch),
        Some(Some(family)) => (engine.allocations.of_family(id, family)?, None),
    };
    for id in [Some(id), twin].into_iter().flatten() {
        if delete {
            closing::close(engine, id, EndReason::Released);
        } else {
            let allocation = engine.allocations.open_mut(id)?;
            allocation.set_expiry(id, now.instant + lifetime, &mut engine.timers);
        }
    }
    let response = ResponseBuilder::success(request).lifetime(lifetime);
    Ok(match ticket {
        Some(ticket) => response.mobility_ticket(ticket.bytes()),
        None => response,
    })
}
