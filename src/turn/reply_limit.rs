//! How many answers an address gets before it has proved who it is. Source addresses can be
//! forged, and every answer to a forged one hits a bystander.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    time::{Duration, Instant},
};

/// How many buckets there are. Addresses share them by a keyed hash: memory is fixed, and nobody
/// can choose whom to share with.
const BUCKETS: usize = 4096;

/// Token buckets for addresses.
#[derive(Debug)]
pub(super) struct ReplyLimit {
    key: u64,
    per_second: u32,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Clone)]
struct Bucket {
    tokens: u32,
    filled: Instant,
}

impl ReplyLimit {
    /// Allows each address `per_second` answers a second, and as many at once.
    pub fn new(now: Instant, per_second: u32, key: u64) -> Self {
        let full = Bucket { tokens: per_second, filled: now };
        Self { key, per_second, buckets: vec![full; BUCKETS] }
    }

    /// Whether `ip` may be answered once more.
    pub fn allow(&mut self, now: Instant, ip: IpAddr) -> bool {
        let slot = self.slot(ip);
        let bucket = &mut self.buckets[slot];
        let earned = now.saturating_duration_since(bucket.filled).as_nanos()
            * u128::from(self.per_second)
            / Duration::from_secs(1).as_nanos();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            bucket.tokens = bucket.tokens.saturating_add(earned).min(self.per_second);
            bucket.filled = now;
        }
        let allowed = bucket.tokens > 0;
        bucket.tokens = bucket.tokens.saturating_sub(1);
        allowed
    }

    fn slot(&self, ip: IpAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        match ip {
            IpAddr::V4(ip) => ip.octets().hash(&mut hasher),
            // A subscriber has a /64 to choose addresses from.
            IpAddr::V6(ip) => ip.octets()[..8].hash(&mut hasher),
        }
        hasher.finish() as usize % BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_answered_at_a_rate_and_others_are_not_affected() {
        let start = Instant::now();
        let mut limit = ReplyLimit::new(start, 10, 7);
        let (alice, bob): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_ne!(limit.slot(alice), limit.slot(bob));
        let burst = (0..100).filter(|_| limit.allow(start, alice)).count();
        assert_eq!(burst, 10);
        assert!(limit.allow(start, bob));
        let later = start + Duration::from_millis(550);
        assert_eq!((0..100).filter(|_| limit.allow(later, alice)).count(), 5);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| limit.allow(much_later, alice)).count(), 10);
    }

    #[test]
    fn a_whole_prefix_shares_a_bucket() {
        let limit = ReplyLimit::new(Instant::now(), 10, 7);
        let slot = |ip: &str| limit.slot(ip.parse().unwrap());
        assert_eq!(slot("2001:db8::1"), slot("2001:db8::ffff:1"));
        assert_ne!(slot("2001:db8::1"), slot("2001:db8:0:1::1"));
    }
}
