//! The rates at which users have called each other of late.
//!
//! They are not kept with either user, since a caller who connects anew, or a callee who is woken
//! for each call, would begin with a full bucket each time.

use std::time::{Duration, Instant};

use callbox_base::{expiring_map::ExpiringMap, ids::UserId};

use super::rate::{Bucket, interval};

/// The largest number of pairs that are remembered. Past it the one whose bucket is full again
/// first is forgotten.
const MAX_PAIRS: usize = 65_536;

/// A caller and a callee.
type Pair = (UserId, UserId);

/// The buckets that are not full, by pair, each until it is full again.
#[derive(Debug)]
pub(super) struct Pairs(ExpiringMap<Pair, (), Instant>);

impl Default for Pairs {
    fn default() -> Self {
        Self(ExpiringMap::new(MAX_PAIRS))
    }
}

impl Pairs {
    /// Checks that the caller may call the callee now. `per_minute` is the number of calls in a
    /// minute in the long run, and of those at once; zero is no limit.
    ///
    /// # Errors
    /// The time after which the caller may call again.
    pub(crate) fn check(&self, now: Instant, pair: &Pair, per_minute: u32) -> Result<(), Duration> {
        self.bucket(pair).take(now, interval(MINUTE, per_minute), per_minute)
    }

    /// Counts a call that [`Pairs::check`] lets pass.
    pub(crate) fn count(&mut self, now: Instant, pair: Pair, per_minute: u32) {
        // A pair without an entry has a full bucket.
        self.0.remove_expired(now);
        let mut bucket = self.bucket(&pair);
        let taken = bucket.take(now, interval(MINUTE, per_minute), per_minute);
        if let Some(full_at) = bucket.full_at().filter(|at| taken.is_ok() && *at > now) {
            self.0.insert(pair, (), full_at);
        }
    }

    fn bucket(&self, pair: &Pair) -> Bucket {
        Bucket::full_again_at(self.0.until(pair))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(caller: &str, callee: &str) -> Pair {
        (UserId::new(caller).unwrap(), UserId::new(callee).unwrap())
    }

    #[test]
    fn each_direction_of_each_pair_has_a_bucket_of_its_own() {
        let (mut pairs, now) = (Pairs::default(), Instant::now());
        let one = pair("mallory", "bob");
        for _ in 0..3 {
            assert_eq!(pairs.check(now, &one, 3), Ok(()));
            pairs.count(now, one.clone(), 3);
        }
        assert_eq!(pairs.check(now, &one, 3), Err(Duration::from_secs(20)));
        for other in [pair("bob", "mallory"), pair("mallory", "carol"), pair("alice", "bob")] {
            assert_eq!(pairs.check(now, &other, 3), Ok(()));
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(pairs.check(later, &one, 3), Ok(()));
        assert!((0..9).all(|_| pairs.check(now, &pair("alice", "carol"), 0).is_ok()));
    }

    #[test]
    fn full_buckets_are_forgotten_and_the_table_never_grows_past_its_limit() {
        let (mut pairs, now) = (Pairs::default(), Instant::now());
        pairs.count(now, pair("alice", "bob"), 60);
        pairs.count(now, pair("alice", "carol"), 0);
        assert_eq!(pairs.0.len(), 1);
        pairs.count(now + Duration::from_secs(1), pair("alice", "dave"), 60);
        assert_eq!(pairs.0.len(), 1);
        for n in 0..MAX_PAIRS + 10 {
            pairs.count(now + Duration::from_secs(1), pair("mallory", &format!("user-{n}")), 60);
        }
        assert_eq!(pairs.0.len(), MAX_PAIRS);
    }
}
