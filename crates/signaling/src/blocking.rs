//! Users who may not call another one, because a session of that one said so or its token does.

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};

use super::{EndReason, Hub};

/// How many users a session may block.
pub(super) const MAX_BLOCKED: usize = 256;

impl Hub {
    /// Returns true if a session of the callee does not take calls from this caller: then none of the
    /// callee's devices rings.
    pub(super) fn is_blocked(&self, caller: &UserId, callee: &UserId) -> bool {
        let sessions = self.users.get(callee).into_iter().flat_map(|entry| entry.devices.values());
        let mut sessions = sessions.filter_map(|id| self.sessions.get(id));
        sessions.any(|session| session.blocked.contains(caller) || session.grants.blocks(caller))
    }

    /// Refuses the calls that ring at a user and come from somebody whom the user blocks by now.
    pub(super) fn refuse_blocked(&mut self, now: Now, user: &UserId) {
        let ringing = self.ringing_at(user).filter(|call| {
            let caller = &call.parties.caller.user;
            self.is_blocked(caller, user)
        });
        let blocked: Vec<CallId> = ringing.map(|call| call.id).collect();
        for id in blocked {
            self.end(now, id, EndReason::Rejected);
        }
    }
}
