//! How far an allocation reaches, as far as calls say. With `--relay-policy signaled`, what was opened
//! with a call's credentials reaches what the call's other side has announced, and the relayed addresses
//! of this server, behind which there is another client. With credentials that name no call, such as
//! those that a client gets to gather its candidates with, the same holds of all calls that their user is
//! in at the moment. So whoever has got hold of credentials cannot send anywhere else with them. It ends
//! with the call, or with the side that has announced it, whatever was granted before.

mod announcements;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use callbox_base::ids::{CallId, UserId};
use callbox_stun::ErrorCode;

pub(super) use self::announcements::Announcements;
use super::{AllocationId, Common, Engine, allocation::Slot};
use crate::auth::TurnIdentity;

/// How far an address may be reached, before the peer policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignaledScope {
    /// Calls say nothing against it.
    Any,
    /// It is one of the server's own addresses: only its relayed ports that are open.
    RelayedOnly,
}

impl Common {
    /// How far the allocations of `owner` reach `ip`.
    ///
    /// # Errors
    /// 403 if no other side has announced it, or not yet.
    pub(super) fn signaled_scope(
        &self,
        owner: &TurnIdentity,
        ip: IpAddr,
    ) -> Result<SignaledScope, ErrorCode> {
        if !self.config.signaled_peers {
            return Ok(SignaledScope::Any);
        }
        let is_announced = match owner.call {
            Some(call) => self.announcements.is_known_to(call, &owner.user, ip),
            None => self.announcements.is_known_in_any_call_of(&owner.user, ip),
        };
        if is_announced {
            Ok(SignaledScope::Any)
        } else if self.addresses.leads_to_relay(ip) {
            Ok(SignaledScope::RelayedOnly)
        } else {
            Err(ErrorCode::Forbidden)
        }
    }

    /// Returns true if the allocations of `owner` reach no more of `ip` than open relayed ports, since
    /// no other side has announced it.
    pub(super) fn is_unannounced(&self, owner: &TurnIdentity, ip: IpAddr) -> bool {
        self.signaled_scope(owner, ip) != Ok(SignaledScope::Any)
    }
}

impl Engine {
    /// Judges again what was granted in a call and to its sides, some of which is announced no more.
    pub(super) fn reapply_signaled_policy(&mut self, call: CallId, sides: &[UserId]) {
        let of_call = self.by_call.get(&call).into_iter().flatten();
        let of_sides = sides.iter().filter_map(|user| self.by_user.get(user.as_str())).flatten();
        let allocations: Vec<_> = of_call.chain(of_sides).copied().collect();
        allocations.into_iter().for_each(|id| self.judge_allocation(id));
    }

    fn judge_allocation(&mut self, id: AllocationId) {
        let Self { common, slots, .. } = self;
        let Some(Slot::Open(allocation)) = slots.get_mut(id.0 as usize) else { return };
        for (ip, permission) in allocation.permissions.iter_mut() {
            permission.unannounced = common.is_unannounced(&allocation.owner, *ip);
        }
        let connections = allocation.connections.clone();
        self.end_connections(connections, |common, owner, ip| common.is_unannounced(owner, ip));
    }
}
