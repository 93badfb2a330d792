//! CreatePermission (RFC 8656 §10.2): addresses may send to an allocation.

use std::{net::IpAddr, time::Duration};

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Family, Request, ResponseBuilder};

use super::Engine;
use crate::{AllocationId, permissions::PERMISSION_LIFETIME};

/// Installs or refreshes a permission for every address of the request, all or none.
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    request: &Request<'_>,
) -> Result<ResponseBuilder, ErrorCode> {
    let Engine { common, allocations, .. } = engine;
    let max = common.config.max_permissions;
    let has: usize = allocations.with_twin(id).map(|part| part.permissions().len()).sum();
    let mut any = false;
    let mut fresh = Vec::new();
    for peer in request.peers() {
        any = true;
        let part = allocations.of_family(id, Family::of(peer))?;
        let allocation = allocations.open_ref(part)?;
        let ip = peer.ip();
        common.check_permission(allocation.owner(), ip)?;
        if !allocation.permissions().contains(ip) && !fresh.contains(&ip) {
            fresh.push(ip);
        }
        if has + fresh.len() > max {
            return Err(ErrorCode::InsufficientCapacity);
        }
    }
    if !any {
        return Err(ErrorCode::BadRequest);
    }
    for peer in request.peers() {
        let part = engine.allocations.of_family(id, Family::of(peer))?;
        install(engine, now, part, peer.ip(), PERMISSION_LIFETIME)?;
    }
    Ok(ResponseBuilder::success(request))
}

/// Installs or refreshes one permission that has been checked, for `lifetime` from now.
pub(super) fn install(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    ip: IpAddr,
    lifetime: Duration,
) -> Result<(), ErrorCode> {
    let Engine { common, allocations, timers, .. } = engine;
    let is_own = common.is_own(ip);
    let allocation = allocations.open_mut(id)?;
    // An address that was announced when this was checked may have been forgotten since.
    let lacks_announcement = common.lacks_announcement(allocation.owner(), ip);
    let expires = now.instant + lifetime;
    let permissions = allocation.permissions_mut();
    permissions.install((id, ip), expires, is_own, lacks_announcement, timers);
    Ok(())
}
