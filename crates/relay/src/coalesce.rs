//! The pause that a worker makes before it polls again (interrupt-style coalescing).
//!
//! At a low rate a packet is read as soon as it is there. At tens of thousands of packets a second,
//! a wake-up for each costs more than relaying it: so the worker lets a few accumulate and reads
//! them in one wake-up. Requests are not counted, since their senders wait for the answers. The
//! number of packets depends on the cost of a pause, which is measured: it may be tens of
//! microseconds where a timer is an exit to the hypervisor of a virtual machine.

use std::time::{Duration, Instant};

/// The rate, in packets a second, from which on packets are coalesced.
const FROM: u64 = 20_000;

/// The time over which the rate is measured.
const WINDOW: Duration = Duration::from_millis(2);

/// The CPU time that a pause may cost for each packet that it coalesces.
const SHARE: Duration = Duration::from_nanos(400);

/// The smallest and the largest number of packets that a pause waits for.
const LEAST: u32 = 4;
const MOST: u32 = 96;

/// One pause in this many is measured, since measuring costs, too.
const MEASURED: u32 = 16;

/// The rate at which packets arrive, the cost of a pause, and the pause that follows from both.
#[derive(Debug)]
pub(super) struct Coalescing {
    limit: Duration,
    since: Instant,
    count: u64,
    /// The number of packets in this loop iteration, so far.
    current: usize,
    /// The number of packets in the last loop iteration.
    last: usize,
    /// The time between two packets; `None` at a low rate.
    apart: Option<Duration>,
    /// The CPU time of a pause.
    cost: Duration,
    pauses: u32,
}

impl Coalescing {
    /// Creates the state; no pause is longer than `limit`.
    pub(crate) fn new(now: Instant, limit: Duration) -> Self {
        let cost = SHARE * LEAST;
        Self { limit, since: now, count: 0, current: 0, last: 0, apart: None, cost, pauses: 0 }
    }

    /// Counts a packet that is relayed in this loop iteration.
    #[inline]
    pub(crate) fn add_packet(&mut self) {
        self.current += 1;
    }

    /// Ends a loop iteration.
    #[inline]
    pub(crate) fn end_turn(&mut self, now: Instant) {
        let packets = std::mem::take(&mut self.current);
        self.count(now, packets);
    }

    /// Counts the packets of one loop iteration.
    #[inline]
    fn count(&mut self, now: Instant, packets: usize) {
        self.last = packets;
        self.count += packets as u64;
        let window = now.saturating_duration_since(self.since);
        if window >= WINDOW {
            let apart = window.as_nanos() as u64 / self.count.max(1);
            self.apart = (apart * FROM < 1_000_000_000).then_some(Duration::from_nanos(apart));
            self.since = now;
            self.count = 0;
        }
    }

    /// Returns the time to wait before the next poll, if the worker should wait at all.
    #[inline]
    pub(crate) fn pause(&self) -> Option<Duration> {
        let apart = self.apart?;
        let wanted = (self.cost.as_nanos() / SHARE.as_nanos()) as u32;
        let wanted = wanted.clamp(LEAST, MOST);
        let pause = (apart * wanted).min(self.limit);
        // No pause if this many have come anyway, or if too few would come to be worth it.
        (self.last < wanted as usize && pause * 2 > apart * wanted).then_some(pause)
    }

    /// Returns true if the pause that follows is one to be measured.
    pub(crate) fn measures(&mut self) -> bool {
        self.pauses = (self.pauses + 1) % MEASURED;
        self.pauses == 1
    }

    /// Records the CPU time that a pause took.
    pub(crate) fn measured(&mut self, cost: Duration) {
        self.cost = (self.cost * 7 + cost) / 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(1);

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// Returns the pause after 1000 iterations of `packets` each, at intervals of `apart`, where
    /// one costs `cost`.
    fn pause(limit: Duration, packets: usize, apart: u64, cost: u64) -> Option<Duration> {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(start, limit);
        for turn in 0..1000 {
            coalescing.count(start + turn * micros(apart), packets);
            if coalescing.measures() {
                coalescing.measured(micros(cost));
            }
        }
        coalescing.pause()
    }

    #[test]
    fn only_a_high_rate_causes_a_pause_and_only_while_few_packets_are_there() {
        assert_eq!(pause(LIMIT, 1, 100, 2), None, "10,000 a second");
        let few = pause(LIMIT, 1, 20, 2).unwrap();
        assert!(few >= micros(79) && few <= micros(100), "four or five, at 50,000: {few:?}");
        assert_eq!(pause(LIMIT, 8, 100, 2), None, "four have come anyway");
        assert_eq!(pause(Duration::ZERO, 1, 20, 2), None, "switched off");
    }

    #[test]
    fn an_expensive_pause_waits_for_more_packets_up_to_the_limit() {
        let many = pause(LIMIT, 1, 10, 30).unwrap();
        assert!(many > micros(700) && many <= micros(750), "75, at 100,000 a second: {many:?}");
        assert_eq!(pause(LIMIT, 1, 20, 30), Some(LIMIT), "as many as come within the limit");
        assert_eq!(pause(micros(100), 1, 20, 30), None, "five are not worth thirty microseconds");
    }

    #[test]
    fn the_first_packets_after_a_silence_cause_no_pause() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(start, LIMIT);
        coalescing.count(start + Duration::from_secs(1), 100);
        coalescing.count(start + Duration::from_secs(1), 1);
        assert_eq!(coalescing.pause(), None);
    }
}
