//! CreatePermission (RFC 8656 §10.2): which addresses may send to an allocation.

use std::{net::IpAddr, time::Duration};

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Family, Request, ResponseBuilder};

use crate::{
    AllocationId, Engine,
    allocation::{PERMISSION_LIFETIME, Permission},
    engine::Timer,
};

impl Engine {
    /// Installs or refreshes a permission for every address of the request, all or none.
    pub(crate) fn create_permission(
        &mut self,
        now: Now,
        id: AllocationId,
        request: &Request<'_>,
    ) -> Result<ResponseBuilder, ErrorCode> {
        let max = self.common.config.max_permissions;
        let has: usize = self.parts(id).map(|part| part.permissions.len()).sum();
        let mut any = false;
        let mut fresh = Vec::new();
        for peer in request.peers() {
            any = true;
            let allocation = self.open_ref(self.part(id, Family::of(peer))?)?;
            let ip = peer.ip();
            self.common.addresses.judge(&self.common.config.peers, ip)?;
            self.common.signaled_scope(&allocation.owner, ip)?;
            if !allocation.permits(ip) && !fresh.contains(&ip) {
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
            let part = self.part(id, Family::of(peer))?;
            self.install_permission(now, part, peer.ip(), PERMISSION_LIFETIME)?;
        }
        Ok(ResponseBuilder::success(request))
    }

    /// Installs or refreshes one permission that has been checked: it lasts for `lifetime` from now,
    /// and never shorter than it did, since a channel to the address may need it for longer.
    pub(crate) fn install_permission(
        &mut self,
        now: Now,
        id: AllocationId,
        ip: IpAddr,
        lifetime: Duration,
    ) -> Result<(), ErrorCode> {
        let own = self.common.is_own(ip);
        // What was announced when this was checked may have been forgotten since.
        let unannounced = self.common.is_unannounced(&self.open_ref(id)?.owner, ip);
        let permissions = &mut self.open_mut(id)?.permissions;
        let (mut expires, mut told) = (now.instant + lifetime, 0);
        if let Some(before) = permissions.get(&ip) {
            expires = expires.max(before.expires);
            told = before.told;
        }
        let before = permissions.insert(ip, Permission { expires, own, unannounced, told });
        let timer = Timer::Permission(id, ip);
        match before {
            Some(before) => self.timers.reset(before.expires, expires, timer),
            None => self.timers.set(expires, timer),
        }
        Ok(())
    }
}
