//! The credentials that are refused though their time is not over: those of calls that have ended,
//! and of users who have left a call or were kicked.

use std::{sync::Arc, time::Duration};

use callbox_base::{clock::Now, ids::CallId};

use super::revocation::Revocations;
use crate::auth::TurnIdentity;

/// The purpose of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    NoCall,
    Calls,
}

/// The refused credentials of a server.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The calls that are over.
    ended: Revocations<CallId>,
    /// The users who have left a call that goes on.
    left: Revocations<(CallId, Arc<str>)>,
    /// The users who were kicked and have not been readmitted.
    kicked: Revocations<Arc<str>>,
    /// The end of the last credentials that were made for a user before a kick, by their purpose.
    revoked: Revocations<(Arc<str>, Purpose)>,
}

impl Refusals {
    /// Refuses the credentials of a call until `until` (seconds since 1970).
    pub(crate) fn end_call(&mut self, call: CallId, until: u64, now: u64) {
        self.ended.insert(call, until, now);
    }

    /// Refuses the credentials of one user of a call that goes on until `until` (seconds since
    /// 1970).
    pub(crate) fn revoke_user(&mut self, call: CallId, user: &str, until: u64, now: u64) {
        self.left.insert((call, user.into()), until, now);
    }

    /// Accepts the user's credentials for the call again.
    pub(crate) fn readmit_user(&mut self, call: CallId, user: &str) {
        self.left.remove(&(call, user.into()));
    }

    /// Refuses the credentials that were made for a user until now and live for `ttl`: those that
    /// are for no call, and with `ban` also those for calls. With `ban`, refuses every other one of
    /// the user for so long, too.
    pub(crate) fn kick(&mut self, now: Now, user: &Arc<str>, ttl: Duration, ban: Option<Duration>) {
        let now = now.unix_secs();
        let until = now.saturating_add(ttl.as_secs());
        self.revoked.insert((user.clone(), Purpose::NoCall), until, now);
        if let Some(ban) = ban {
            self.revoked.insert((user.clone(), Purpose::Calls), until, now);
            self.kicked.insert(user.clone(), now.saturating_add(ban.as_secs()), now);
        }
    }

    /// Accepts the credentials that are made for a user who was kicked from now on.
    pub(crate) fn lift_kick(&mut self, user: &str) {
        self.kicked.remove(&user.into());
    }

    /// Returns true if credentials open nothing any more.
    pub(crate) fn refuses(&self, now: Now, identity: &TurnIdentity) -> bool {
        let user = &identity.user;
        let is_over =
            |call| self.ended.contains(&call) || self.left.contains(&(call, user.clone()));
        identity.call.is_some_and(is_over) || self.is_kicked(now, identity)
    }

    fn is_kicked(&self, now: Now, identity: &TurnIdentity) -> bool {
        let user = &identity.user;
        if self.kicked.until(user).is_some_and(|until| now.unix_secs() < until) {
            return true;
        }
        let purpose = if identity.call.is_some() { Purpose::Calls } else { Purpose::NoCall };
        let last = self.revoked.until(&(user.clone(), purpose));
        // All that was made by then ends by then.
        identity.expires.zip(last).is_some_and(|(expires, last)| expires <= last)
    }
}
