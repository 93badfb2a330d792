//! The limits of bytes of payload and of packets a second: buckets of an allocation, and those of a
//! user, which all of the user's allocations draw from.

use std::{sync::Arc, time::Instant};

use super::{DropReason, meter::Meter, rate::Direction};

/// The limits of one allocation. By default there are none.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Its own buckets, which only its worker touches.
    pub own: Option<Box<Meter>>,
    /// Those of its user.
    pub user: Option<Arc<Meter>>,
}

impl Limits {
    /// Lets a packet of so many bytes of payload pass, and counts it.
    ///
    /// # Errors
    /// The reason for which it may not pass; it has been counted nowhere.
    #[inline]
    pub(crate) fn admit(
        &self,
        direction: Direction,
        now: Instant,
        bytes: usize,
    ) -> Result<(), DropReason> {
        let own = match &self.own {
            Some(own) => Some((own, own.after(direction, now, bytes)?)),
            None => None,
        };
        if let Some(user) = &self.user {
            user.take(direction, now, bytes)?;
        }
        if let Some((own, after)) = own {
            own.set(direction, after);
        }
        Ok(())
    }

    fn meters(&self) -> impl Iterator<Item = &Meter> {
        self.own.as_deref().into_iter().chain(self.user.as_deref())
    }

    /// Returns the time from which on bytes of a stream may pass: of those none is dropped, they
    /// are read later. [`Limits::charge`] counts those that pass. Packets are not counted, for
    /// there are none.
    pub(crate) fn free_at(&self, direction: Direction) -> Option<Instant> {
        self.meters().filter_map(|meter| meter.free_at(direction)).max()
    }

    /// Counts bytes of a stream that have passed.
    pub(crate) fn charge(&self, direction: Direction, now: Instant, bytes: usize) {
        self.meters().for_each(|meter| meter.charge(direction, now, bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::time::Duration;

    use super::{
        super::{meter::Rates, rate::Direction::*},
        *,
    };

    fn meter(bytes: u64, packets: u64, now: Instant) -> Option<Meter> {
        Meter::new(Rates::new(bytes, packets), now)
    }

    fn own(bytes: u64, packets: u64, now: Instant) -> Limits {
        Limits { own: meter(bytes, packets, now).map(Box::new), user: None }
    }

    /// Returns the number of packets in a row that pass, and why no more do.
    fn burst(
        limits: &Limits,
        direction: Direction,
        now: Instant,
        bytes: usize,
    ) -> (usize, Option<DropReason>) {
        for passed in 0..100_000 {
            if let Err(reason) = limits.admit(direction, now, bytes) {
                return (passed, Some(reason));
            }
        }
        (100_000, None)
    }

    const BYTES: Option<DropReason> = Some(DropReason::Bandwidth);
    const PACKETS: Option<DropReason> = Some(DropReason::PacketRate);

    #[test]
    fn without_a_limit_everything_passes() {
        assert!(meter(0, 0, Instant::now()).is_none());
        let passed = burst(&Limits::default(), Up, Instant::now(), 65_507);
        assert_eq!(passed, (100_000, None));
    }

    #[test]
    fn each_direction_has_its_own() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let limits = own(10_000, 0, start);
        assert_eq!(burst(&limits, Up, start + second, 100), (100, BYTES));
        assert_eq!(burst(&limits, Down, start + second, 100), (100, BYTES));
        let limits = own(0, 100, start);
        assert_eq!(burst(&limits, Up, start + second, 1200), (100, PACKETS));
        assert_eq!(burst(&limits, Down, start + second, 0), (100, PACKETS));
    }

    /// Large packets come up against the one, small ones against the other, and what is refused
    /// leaves room for others in both.
    #[test]
    fn the_limits_of_bytes_and_packets_both_apply_and_refused_data_counts_in_neither() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let shared = Arc::new(meter(10_000, 50, start).unwrap());
        for limits in [own(10_000, 50, start), Limits { own: None, user: Some(shared) }] {
            assert_eq!(burst(&limits, Up, start + second, 1000), (10, BYTES));
            for _ in 0..100 {
                assert_eq!(limits.admit(Up, start + second, 1), Err(DropReason::Bandwidth));
            }
            let now = start + 2 * second;
            assert_eq!(burst(&limits, Up, now, 1), (50, PACKETS));
            for _ in 0..100 {
                assert_eq!(limits.admit(Up, now, 5000), Err(DropReason::PacketRate));
            }
            assert_eq!(burst(&limits, Up, start + 3 * second, 2000), (5, BYTES));
        }
    }

    #[test]
    fn the_allocations_of_a_user_share_a_limit_and_refused_data_is_not_counted() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        for (rates, smaller, reason) in
            [((10_000, 0), (5_000, 0), BYTES), ((0, 100), (0, 50), PACKETS)]
        {
            let meter = |(bytes, packets)| meter(bytes, packets, start).unwrap();
            let user = Arc::new(meter(rates));
            let with =
                |own: Option<Meter>| Limits { own: own.map(Box::new), user: Some(user.clone()) };
            let (one, other) = (with(Some(meter(smaller))), with(None));
            // Its own bucket is the smaller one; the rest is for the other.
            assert_eq!(burst(&one, Up, start + second, 100), (50, reason));
            assert_eq!(burst(&other, Up, start + second, 100), (50, reason));
            assert_eq!(burst(&one, Up, start + 2 * second, 100), (50, reason));
            assert_eq!(burst(&other, Up, start + 2 * second, 100), (50, reason));
            // Now the user's is empty first, and the own one is not drained by what does not pass.
            assert_eq!(burst(&other, Up, start + 3 * second, 100), (100, reason));
            assert_eq!(burst(&one, Up, start + 3 * second, 100), (0, reason));
            let own = Limits { own: one.own, user: None };
            assert_eq!(burst(&own, Up, start + 3 * second, 100), (50, reason));
        }
    }

    #[test]
    fn a_slightly_late_clock_is_tolerated() {
        let start = Instant::now() + Duration::from_secs(1);
        let limits = own(10_000, 0, start);
        assert_eq!(burst(&limits, Up, start - Duration::from_millis(5), 100), (0, BYTES));
    }

    /// Threads that hammer one user's buckets get what one would get, and not a packet more.
    #[test]
    fn several_workers_together_do_not_exceed_the_rate() {
        let start = Instant::now();
        let now = start + Duration::from_secs(1);
        for (bytes, packets) in [(1_000_000, 0), (0, 10_000)] {
            let user = meter(bytes, packets, start).unwrap();
            let passed: usize = std::thread::scope(|scope| {
                let count = || (0..50_000).filter(|_| user.take(Up, now, 100).is_ok()).count();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(passed, 10_000);
        }
    }

    proptest! {
        /// In any interval, neither more bytes nor more packets pass than the rate allows for it,
        /// plus those of one second.
        #[test]
        fn both_rates_apply(
            byte_rate in 0u64..1_000_000,
            packet_rate in 0u64..500,
            of_user in any::<bool>(),
            arrivals in prop::collection::vec((0u64..50_000_000, 0usize..65_508), 1..200),
        ) {
            let start = Instant::now();
            let meter = meter(byte_rate, packet_rate, start);
            let limits = match of_user {
                true => Limits { own: None, user: meter.map(Arc::new) },
                false => Limits { own: meter.map(Box::new), user: None },
            };
            let mut now = start;
            let mut passed = Vec::new();
            for (wait, bytes) in arrivals {
                now += Duration::from_nanos(wait);
                if limits.admit(Up, now, bytes).is_ok() {
                    passed.push((now, bytes as f64));
                }
            }
            for (at, (from, _)) in passed.iter().enumerate() {
                let (mut bytes, mut packets) = (0.0, 0.0);
                for (to, length) in &passed[at..] {
                    let time = (*to - *from).as_secs_f64() + 1.0;
                    for (rate, total) in [(byte_rate, bytes), (packet_rate, packets)] {
                        prop_assert!(rate == 0 || total <= time * rate as f64 + 1.0);
                    }
                    bytes += length;
                    packets += 1.0;
                }
            }
        }
    }

    /// Of a stream nothing is lost: it waits until there is room, in its own bucket and its user's.
    #[test]
    fn a_stream_waits_for_room() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let user = meter(1_000, 0, start).map(Arc::new);
        let limits = Limits { own: meter(10_000, 1, start).map(Box::new), user: user.clone() };
        // A read may be more than a second's worth.
        assert_eq!(limits.free_at(Up), Some(start + second));
        limits.charge(Up, start, 5_000);
        assert_eq!(limits.free_at(Up), Some(start + 6 * second), "the user's is the smaller one");
        assert_eq!(limits.free_at(Down), Some(start + second));
        let alone = Limits { own: limits.own, user: None };
        assert_eq!(alone.free_at(Up), Some(start + second * 3 / 2));
        alone.charge(Up, start + 10 * second, 20_000);
        assert_eq!(
            alone.free_at(Up),
            Some(start + 12 * second),
            "after a silence, a second's worth"
        );
        assert_eq!(Limits::default().free_at(Up), None);
    }
}
