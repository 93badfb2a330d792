//! How long a worker waits before it looks for more.
//!
//! At a low rate a datagram is read as soon as it is there. Where tens of thousands come in a second,
//! waking for each of them costs more than relaying it: so a few are let gather, and one wake-up
//! reads them all.

use std::time::{Duration, Instant};

/// From how many datagrams a second on they are let gather.
const FROM: u64 = 20_000;

/// Over how long the rate is measured.
const WINDOW: Duration = Duration::from_millis(2);

/// So many in one turn have gathered already.
const PLENTY: usize = 32;

/// The rate at which datagrams come, and what follows from it.
#[derive(Debug)]
pub(super) struct Pace {
    gather: Duration,
    since: Instant,
    count: u64,
    fast: bool,
    last: usize,
}

impl Pace {
    /// Lets datagrams gather for so long, at a high rate.
    pub fn new(now: Instant, gather: Duration) -> Self {
        Self { gather, since: now, count: 0, fast: false, last: 0 }
    }

    /// Counts the datagrams of one turn.
    #[inline]
    pub fn count(&mut self, now: Instant, datagrams: usize) {
        self.last = datagrams;
        self.count += datagrams as u64;
        let window = now.saturating_duration_since(self.since);
        if window >= WINDOW {
            self.fast = self.count as u128 * 1_000_000_000 > FROM as u128 * window.as_nanos();
            self.since = now;
            self.count = 0;
        }
    }

    /// How long to wait before the next look, if at all.
    #[inline]
    pub fn pause(&self) -> Option<Duration> {
        (self.fast && self.last < PLENTY && !self.gather.is_zero()).then_some(self.gather)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATHER: Duration = Duration::from_micros(50);

    /// Runs `turns` turns of `datagrams` each, `apart` from each other.
    fn run(gather: Duration, turns: u32, datagrams: usize, apart: Duration) -> Option<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(start, gather);
        for turn in 0..turns {
            pace.count(start + turn * apart, datagrams);
        }
        pace.pause()
    }

    #[test]
    fn only_a_high_rate_gathers() {
        let micros = Duration::from_micros;
        assert_eq!(run(GATHER, 1000, 1, micros(100)), None, "10,000 a second");
        assert_eq!(run(GATHER, 1000, 1, micros(20)), Some(GATHER), "50,000 a second");
        assert_eq!(run(Duration::ZERO, 1000, 1, micros(20)), None, "switched off");
        assert_eq!(run(GATHER, 1000, PLENTY, micros(20)), None, "gathered already");
    }

    #[test]
    fn the_first_after_a_silence_do_not_wait() {
        let start = Instant::now();
        let mut pace = Pace::new(start, GATHER);
        pace.count(start + Duration::from_secs(1), 100);
        pace.count(start + Duration::from_secs(1), 1);
        assert_eq!(pace.pause(), None);
    }
}
