//! How many bytes of payload a second may pass: a token bucket for each direction of an allocation,
//! and one for each direction of a user, which all of the user's allocations draw from.
//!
//! A bucket is one number: up to which moment the rate is used up by what has passed. A packet costs
//! the time that its bytes take at the rate, and passes while no more than [`BURST`] is used up ahead
//! of the present. So time refills the bucket by going by, and there is nothing to be refilled.
//! (RFC 2697 has buckets of tokens; the ATM Forum's GCRA is the same thing written this way.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What may pass at once after a silence: what the rate gives in this time, and the packet that uses
/// the last of it, since otherwise one larger than the bucket could never pass.
pub(super) const BURST: Duration = Duration::from_secs(1);

const BURST_NANOS: u64 = BURST.as_nanos() as u64;

/// A byte's time has so many bits after the point: at gigabytes a second it is no whole number of
/// nanoseconds.
const FRACTION: u32 = 16;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to a peer.
    Up,
    /// From a peer to the client.
    Down,
}

/// A number of bytes a second, as the time that one byte takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// In nanoseconds, with [`FRACTION`] bits after the point, rounded up: never more passes than
    /// was set.
    per_byte: u64,
}

impl Rate {
    /// `None` for 0, which is no limit.
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        let second = 1_000_000_000 << FRACTION;
        (bytes_per_second > 0).then(|| Self { per_byte: u64::div_ceil(second, bytes_per_second) })
    }

    /// The time that so many bytes take, in nanoseconds. A datagram's length times the longest time
    /// of a byte, a second, has 62 bits.
    #[inline]
    fn cost(self, bytes: usize) -> u64 {
        (bytes as u64 * self.per_byte + ((1 << FRACTION) - 1)) >> FRACTION
    }

    /// Up to when the rate is used up once a packet has passed; `None` if it may not.
    #[inline]
    fn after(self, used: u64, now: u64, bytes: usize) -> Option<u64> {
        (used <= now + BURST_NANOS).then(|| used.max(now) + self.cost(bytes))
    }
}

/// The two buckets of an allocation or of a user. They are empty at first and fill as time goes by:
/// whoever closes and opens again gains nothing.
#[derive(Debug)]
pub(super) struct Meter {
    rate: Rate,
    since: Instant,
    /// By direction, up to when the rate is used up: in nanoseconds since `since`.
    used: [AtomicU64; 2],
}

impl Meter {
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, since: now, used: [(); 2].map(|()| AtomicU64::new(BURST_NANOS)) }
    }

    /// Workers read their clocks at different moments, so `now` may lie before `since`.
    #[inline]
    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_nanos() as u64
    }

    /// Lets a packet pass, and counts it, if there is room. For several threads at once: whoever
    /// tries again here does so since another one's packet has passed.
    #[inline]
    fn take(&self, direction: Direction, now: Instant, bytes: usize) -> bool {
        let now = self.nanos(now);
        let after = |used| self.rate.after(used, now, bytes);
        self.used[direction as usize].fetch_update(Relaxed, Relaxed, after).is_ok()
    }
}

/// What bounds one allocation. By default nothing does.
#[derive(Debug, Default)]
pub(super) struct Bandwidth {
    /// Its own buckets, which only its worker touches.
    pub own: Option<Meter>,
    /// Those of its user.
    pub user: Option<Arc<Meter>>,
}

impl Bandwidth {
    /// Whether a packet of so many bytes of payload may pass. If it may, it has been counted; if
    /// not, it has been counted nowhere.
    #[inline]
    pub fn admit(&self, direction: Direction, now: Instant, bytes: usize) -> bool {
        let user = || self.user.as_ref().is_none_or(|user| user.take(direction, now, bytes));
        let Some(own) = &self.own else { return user() };
        // There is one writer, so a plain load and store will do.
        let used = &own.used[direction as usize];
        match own.rate.after(used.load(Relaxed), own.nanos(now), bytes) {
            Some(after) if user() => {
                used.store(after, Relaxed);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Direction::*, *};

    fn meter(bytes_per_second: u64, now: Instant) -> Meter {
        Meter::new(Rate::new(bytes_per_second).unwrap(), now)
    }

    fn own(bytes_per_second: u64, now: Instant) -> Bandwidth {
        Bandwidth { own: Some(meter(bytes_per_second, now)), user: None }
    }

    /// How many packets in a row pass.
    fn burst(bandwidth: &Bandwidth, direction: Direction, now: Instant, bytes: usize) -> usize {
        (0..100_000).take_while(|_| bandwidth.admit(direction, now, bytes)).count()
    }

    #[test]
    fn a_bucket_starts_empty_and_holds_a_second() {
        let start = Instant::now();
        let bandwidth = own(10_000, start);
        // The one that uses the last of it passes, too.
        assert_eq!(burst(&bandwidth, Up, start, 100), 1);
        assert_eq!(burst(&bandwidth, Up, start + Duration::from_millis(500), 100), 50);
        for (later, passes) in [(2, 101), (3, 100), (3600, 101)] {
            let now = start + Duration::from_secs(later);
            assert_eq!(burst(&bandwidth, Up, now, 100), passes, "after {later} s");
        }
    }

    #[test]
    fn each_direction_has_its_own() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let bandwidth = own(10_000, start);
        assert_eq!(burst(&bandwidth, Up, start + second, 100), 101);
        assert_eq!(burst(&bandwidth, Down, start + second, 100), 101);
    }

    #[test]
    fn without_a_limit_everything_passes() {
        assert_eq!(Rate::new(0), None);
        assert_eq!(burst(&Bandwidth::default(), Up, Instant::now(), 65_507), 100_000);
    }

    #[test]
    fn a_datagram_larger_than_the_rate_passes_now_and_then() {
        let start = Instant::now();
        let bandwidth = own(1, start);
        assert!(bandwidth.admit(Up, start, 65_507));
        assert!(!bandwidth.admit(Up, start + Duration::from_secs(65_506), 65_507));
        assert!(bandwidth.admit(Up, start + Duration::from_secs(65_507), 65_507));
    }

    #[test]
    fn a_user_s_allocations_share_and_what_is_refused_is_not_counted() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let user = Arc::new(meter(10_000, start));
        let with = |own: Option<Meter>| Bandwidth { own, user: Some(user.clone()) };
        let (one, other) = (with(Some(meter(5_000, start))), with(None));
        // Its own bucket is the smaller one; the rest is for the other.
        assert_eq!(burst(&one, Up, start + second, 100), 51);
        assert_eq!(burst(&other, Up, start + second, 100), 50);
        assert_eq!(burst(&one, Up, start + 2 * second, 100), 50);
        assert_eq!(burst(&other, Up, start + 2 * second, 100), 50);
        // Now the user's is empty first, and the own one is not drained by what does not pass.
        assert_eq!(burst(&other, Up, start + 3 * second, 100), 100);
        assert_eq!(burst(&one, Up, start + 3 * second, 100), 0);
        let own = Bandwidth { own: one.own, user: None };
        assert_eq!(burst(&own, Up, start + 3 * second, 100), 50);
    }

    #[test]
    fn a_clock_that_is_a_little_behind_does_no_harm() {
        let start = Instant::now() + Duration::from_secs(1);
        let bandwidth = own(10_000, start);
        assert_eq!(burst(&bandwidth, Up, start - Duration::from_millis(5), 100), 1);
    }

    /// Threads that hammer one bucket get what one would get, and not a packet more.
    #[test]
    fn several_workers_never_take_more_than_there_is() {
        let start = Instant::now();
        let user = meter(1_000_000, start);
        let now = start + BURST;
        let passed: usize = std::thread::scope(|scope| {
            let count = || (0..50_000).filter(|_| user.take(Up, now, 100)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 10_001);
    }

    proptest! {
        /// Whatever comes whenever: from any moment to any other no more passes than the rate gives
        /// in that time, one second's worth and one packet; and whoever always has something to send
        /// gets no less than the rate.
        #[test]
        fn the_rate_holds(
            rate in prop_oneof![1u64..100, 1_000u64..10_000_000, 1u64 << 30..1 << 40],
            arrivals in prop::collection::vec((0u64..2_000_000_000, 0usize..65_508), 1..60),
        ) {
            let start = Instant::now();
            let bandwidth = own(rate, start);
            let mut now = start;
            let mut passed = Vec::new();
            for (wait, bytes) in arrivals {
                now += Duration::from_nanos(wait);
                if bandwidth.admit(Up, now, bytes) {
                    passed.push((now, bytes as f64));
                }
            }
            for (at, (from, _)) in passed.iter().enumerate() {
                let mut total = 0.0;
                for (to, bytes) in &passed[at..] {
                    let time = (*to - *from + BURST).as_secs_f64();
                    prop_assert!(total <= time * rate as f64 + 1.0, "{total} in {time} s");
                    total += bytes;
                }
            }
        }

        #[test]
        fn whoever_always_sends_gets_the_rate(rate in 1_000u64..10_000_000, bytes in 1usize..1500) {
            let start = Instant::now();
            let bandwidth = own(rate, start);
            // Three packets come in the time of one.
            let step = bytes as u64 * 1_000_000_000 / rate / 3;
            let at = |n| start + Duration::from_nanos(n * step);
            let passed = (0..3000).filter(|n| bandwidth.admit(Up, at(*n), bytes)).count() as f64;
            let expected = (3000 * step * rate) as f64 / bytes as f64 / 1e9;
            // A packet's time is rounded up to a nanosecond.
            prop_assert!(passed > 0.98 * expected - 1.0, "{passed} of {expected}");
            prop_assert!(passed < expected + 2.0, "{passed} of {expected}");
        }
    }
}
