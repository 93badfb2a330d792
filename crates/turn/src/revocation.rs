//! The revocation of credentials that have not expired: those of calls that have ended, and of
//! users who have left a call or were kicked.

use std::{sync::Arc, time::Duration};

use callbox_base::{clock::Now, expiring_map::ExpiringMap, ids::CallId};

use crate::auth::TurnIdentity;

/// The number of revocations of one kind that are stored. Past it the first one to expire is
/// removed: its credentials are then valid until they expire, as in a server without calls.
const LIMIT: usize = 100_000;

/// The keys of revoked credentials, each until a time in seconds since 1970.
#[derive(Debug)]
struct RevokedKeys<K>(ExpiringMap<K, (), u64>);

impl<K: Ord + Clone> Default for RevokedKeys<K> {
    fn default() -> Self {
        Self(ExpiringMap::new(LIMIT))
    }
}

impl<K: Ord + Clone> RevokedKeys<K> {
    /// Adds a revocation until `until`, and removes those that have expired before `now`.
    fn insert(&mut self, key: K, until: u64, now: u64) {
        self.0.remove_expired(now.saturating_sub(1));
        self.0.insert(key, (), until);
    }

    /// Removes a revocation.
    fn remove(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Returns true if the credentials are revoked.
    fn contains(&self, key: &K) -> bool {
        self.0.get(key).is_some()
    }

    /// Returns the time until which the credentials are revoked; it may have passed.
    fn until(&self, key: &K) -> Option<u64> {
        self.0.until(key)
    }
}

/// The purpose of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    NoCall,
    Calls,
}

/// The revoked credentials of a server.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    /// The calls that are over.
    ended: RevokedKeys<CallId>,
    /// The users who have left a call that goes on.
    left: RevokedKeys<(CallId, Arc<str>)>,
    /// The users who were kicked and have not been readmitted.
    kicked: RevokedKeys<Arc<str>>,
    /// The end of the last credentials that were made for a user before a kick, by their purpose.
    revoked: RevokedKeys<(Arc<str>, Purpose)>,
}

impl Revocations {
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

    /// Returns true if the credentials are revoked.
    pub(crate) fn is_revoked(&self, now: Now, identity: &TurnIdentity) -> bool {
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

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn expired_revocations_are_removed_and_the_table_is_bounded() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ended = RevokedKeys::default();
        let first = CallId::generate(0, &mut rng);
        ended.insert(first, 10, 0);
        assert!(ended.contains(&first));
        ended.insert(CallId::generate(0, &mut rng), 20, 11);
        assert!(!ended.contains(&first));
        for _ in 0..LIMIT + 10 {
            ended.insert(CallId::generate(0, &mut rng), 100, 11);
        }
        assert_eq!(ended.0.len(), LIMIT);
    }

    #[test]
    fn a_revocation_that_is_removed_and_renewed_counts_once() {
        let mut kicked = RevokedKeys::default();
        for n in 0..1000 {
            kicked.insert("alice", 100 + n, n);
            assert!(kicked.contains(&"alice"));
            kicked.remove(&"alice");
            assert!(!kicked.contains(&"alice"));
            kicked.insert("bob", 100 + n, n);
        }
        assert_eq!((kicked.0.len(), kicked.until(&"bob")), (1, Some(1099)));
    }
}
