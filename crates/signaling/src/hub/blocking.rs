//! Callers whom a user blocks, by a session or by a token.

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};

use super::{Hub, call_end, limits};
use crate::{EndReason, Role};

/// Returns true if a session of the callee blocks this caller: then none of the callee's devices
/// rings.
pub(super) fn is_blocked(hub: &Hub, caller: &UserId, callee: &UserId) -> bool {
    let mut sessions = hub.users.sessions(callee).filter_map(|id| hub.sessions.get(id));
    sessions.any(|session| session.blocks(caller))
}

/// Ends the calls that ring at a user and whose caller the user blocks by now.
pub(super) fn refuse_blocked(hub: &mut Hub, now: Now, user: &UserId) {
    let ringing = limits::ringing_at(hub, user).filter(|call| {
        let caller = call.party(Role::Caller).user();
        is_blocked(hub, caller, user)
    });
    let blocked: Vec<CallId> = ringing.map(|call| call.id()).collect();
    for id in blocked {
        call_end::end(hub, now, id, EndReason::Rejected);
    }
}
