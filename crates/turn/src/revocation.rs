//! Credentials that are refused before they expire: those of calls that are over, and of users who
//! are in a call no more or were kicked, for as long as any of them may be about.

use callbox_base::expiring_map::ExpiringMap;

/// The number of revocations that are remembered. Past it the first one to expire is forgotten: its
/// credentials then live until they expire, as they would in a server that knows no calls.
const LIMIT: usize = 100_000;

/// The keys of refused credentials, each until a time in seconds since 1970.
#[derive(Debug)]
pub(super) struct Revocations<K>(ExpiringMap<K, (), u64>);

impl<K: Ord + Clone> Default for Revocations<K> {
    fn default() -> Self {
        Self(ExpiringMap::new(LIMIT))
    }
}

impl<K: Ord + Clone> Revocations<K> {
    /// Refuses credentials until `until`, and forgets what has expired before `now`.
    pub(crate) fn insert(&mut self, key: K, until: u64, now: u64) {
        self.0.remove_expired(now.saturating_sub(1));
        self.0.insert(key, (), until);
    }

    /// Takes a revocation back.
    pub(crate) fn remove(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Returns true if the credentials are refused.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.0.get(key).is_some()
    }

    /// Returns the time until which the credentials are refused; it may be over.
    pub(crate) fn until(&self, key: &K) -> Option<u64> {
        self.0.until(key)
    }
}

#[cfg(test)]
mod tests {
    use callbox_base::ids::CallId;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn expired_revocations_are_removed_and_the_table_is_bounded() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ended = Revocations::default();
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
    fn a_revocation_that_is_taken_back_and_renewed_counts_once() {
        let mut out = Revocations::default();
        for n in 0..1000 {
            out.insert("alice", 100 + n, n);
            assert!(out.contains(&"alice"));
            out.remove(&"alice");
            assert!(!out.contains(&"alice"));
            out.insert("bob", 100 + n, n);
        }
        assert_eq!((out.0.len(), out.until(&"bob")), (1, Some(1099)));
    }
}
