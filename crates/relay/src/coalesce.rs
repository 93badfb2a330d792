//! How long a worker waits before it looks for more.
//!
//! At a low rate a packet is read as soon as it is there. Where tens of thousands come in a second,
//! waking for each of them costs more than relaying it: so a few are let gather, and one wake-up
//! reads them all. Requests are not counted: whoever makes one waits for the answer. How many
//! packets depends on what a pause costs, which may be tens of microseconds where a timer is a trip
//! to the host of a virtual machine: so that is measured.

use std::time::{Duration, Instant};

/// From how many packets a second on they are let gather.
const FROM: u64 = 20_000;

/// Over how long the rate is measured.
const WINDOW: Duration = Duration::from_millis(2);

/// What a pause may cost for each packet that it gathers.
const SHARE: Duration = Duration::from_nanos(400);

/// How many packets are gathered: at least, and at most.
const LEAST: u32 = 4;
const MOST: u32 = 96;

/// One pause of so many is measured, since measuring costs too.
const MEASURED: u32 = 16;

/// The rate at which packets come, what a pause costs, and what follows from both.
#[derive(Debug)]
pub(super) struct Coalescing {
    limit: Duration,
    since: Instant,
    count: u64,
    /// Datagrams in the last turn.
    last: usize,
    /// The time from one packet to the next, at a high rate.
    apart: Option<Duration>,
    /// CPU time of a pause.
    cost: Duration,
    pauses: u32,
}

impl Coalescing {
    /// Lets packets gather for `limit` at most.
    pub fn new(now: Instant, limit: Duration) -> Self {
        let cost = SHARE * LEAST;
        Self { limit, since: now, count: 0, last: 0, apart: None, cost, pauses: 0 }
    }

    /// Counts the packets of one turn.
    #[inline]
    pub fn count(&mut self, now: Instant, packets: usize) {
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

    /// How long to wait before the next look, if at all.
    #[inline]
    pub fn pause(&self) -> Option<Duration> {
        let apart = self.apart?;
        let wanted = (self.cost.as_nanos() / SHARE.as_nanos()) as u32;
        let wanted = wanted.clamp(LEAST, MOST);
        let pause = (apart * wanted).min(self.limit);
        // Not if so many have come anyhow, nor if too few would come to be worth it.
        (self.last < wanted as usize && pause * 2 > apart * wanted).then_some(pause)
    }

    /// Whether the pause that follows is one to be measured.
    pub fn measures(&mut self) -> bool {
        self.pauses = (self.pauses + 1) % MEASURED;
        self.pauses == 1
    }

    /// A pause took so much CPU time.
    pub fn measured(&mut self, cost: Duration) {
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

    /// The pause after 1000 turns of `packets` each, `apart` from each other, where one costs
    /// `cost`.
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
    fn only_a_high_rate_gathers_and_only_what_is_not_there_yet() {
        assert_eq!(pause(LIMIT, 1, 100, 2), None, "10,000 a second");
        let few = pause(LIMIT, 1, 20, 2).unwrap();
        assert!(few >= micros(79) && few <= micros(100), "four or five, at 50,000: {few:?}");
        assert_eq!(pause(LIMIT, 8, 100, 2), None, "four have come anyhow");
        assert_eq!(pause(Duration::ZERO, 1, 20, 2), None, "switched off");
    }

    #[test]
    fn a_dear_pause_gathers_more_up_to_the_limit() {
        let many = pause(LIMIT, 1, 10, 30).unwrap();
        assert!(many > micros(700) && many <= micros(750), "75, at 100,000 a second: {many:?}");
        assert_eq!(pause(LIMIT, 1, 20, 30), Some(LIMIT), "as many as come in the limit");
        assert_eq!(pause(micros(100), 1, 20, 30), None, "five for thirty microseconds is no deal");
    }

    #[test]
    fn the_first_after_a_silence_do_not_wait() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(start, LIMIT);
        coalescing.count(start + Duration::from_secs(1), 100);
        coalescing.count(start + Duration::from_secs(1), 1);
        assert_eq!(coalescing.pause(), None);
    }
}
