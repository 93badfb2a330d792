//! The times of a call.
//!
//! A call reads the wall clock once, when it begins; every later time of it is that one and what
//! has passed since on the monotonic clock. So its times are in order and its duration is right,
//! however the wall clock is set meanwhile. Across a restart, elapsed time is taken from the wall
//! clock, within bounds.

use std::time::{Duration, Instant};

use callbox_base::clock::Now;

use crate::Timestamp;

/// The longest time for which a call of the server before is believed to have lasted: past it the
/// wall clock was set.
const LONGEST_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The times at which a call began and was accepted, or a second participant came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The time of its beginning, since 1970.
    created: Duration,
    /// The time that had passed when this process began with the call at `since`.
    before: Duration,
    since: Instant,
    /// The time that had passed at the accept.
    started: Option<Duration>,
}

impl Times {
    /// Makes the times of a call that begins now.
    pub(crate) fn begin(now: Now) -> Self {
        Self { created: now.unix, before: Duration::ZERO, since: now.instant, started: None }
    }

    /// Makes the times of a call that was begun by the server before. `created` and `started` are
    /// since 1970; a call has not begun after it was accepted, and neither is in the future.
    pub(crate) fn restore(now: Now, created: Duration, started: Option<Duration>) -> Self {
        let started = started.map(|started| started.saturating_sub(created).min(LONGEST_BEFORE));
        let least = started.unwrap_or_default();
        let before = now.unix.saturating_sub(created).clamp(least, LONGEST_BEFORE);
        Self { created, before, since: now.instant, started }
    }

    /// Makes the times of a call that ended with the server before, for its record: `now` is its
    /// end on them. `end` is when that server was last known to run, since 1970, and is believed
    /// within the same bounds: the call ended neither before it began or was accepted, nor later
    /// than it may have lasted.
    pub(crate) fn ended(
        now: Now,
        created: Duration,
        started: Option<Duration>,
        end: Duration,
    ) -> Self {
        Self::restore(Now { unix: end, ..now }, created, started)
    }

    /// Records that the call was accepted, or a second participant came.
    pub(crate) fn start(&mut self, now: Now) {
        self.started = Some(self.passed(now));
    }

    /// Returns this moment on the clock of the call.
    pub(crate) fn at(&self, now: Now) -> Timestamp {
        Timestamp(self.created.saturating_add(self.passed(now)))
    }

    /// Returns the time of its beginning, since 1970.
    pub(crate) fn created(&self) -> Duration {
        self.created
    }

    /// Returns the time at which it was accepted, or a second participant came, since 1970.
    pub(crate) fn started(&self) -> Option<Duration> {
        Some(self.created.saturating_add(self.started?))
    }

    /// Returns the time since the accept; zero before it.
    pub(crate) fn duration(&self, now: Now) -> Duration {
        self.started.map_or(Duration::ZERO, |started| self.passed(now).saturating_sub(started))
    }

    fn passed(&self, now: Now) -> Duration {
        self.before + now.instant.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now(unix: u64) -> Now {
        Now { instant: Instant::now(), unix: secs(unix) }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_clock_change_over_a_restart_is_bounded() {
        for (at, started, duration) in [
            // As it should be: ten seconds before the accept, a minute since.
            (1070, Some(1010), secs(60)),
            // Set back to before the accept, and to before the call.
            (1005, Some(1010), secs(0)),
            (900, Some(1010), secs(0)),
            // Set years ahead.
            (1_000_000_000, Some(1010), LONGEST_BEFORE - secs(10)),
            // Not accepted, or not after it began, as no server writes it.
            (1070, None, secs(0)),
            (1070, Some(900), secs(70)),
            (1070, Some(u64::MAX), secs(0)),
        ] {
            let now = now(at);
            let times = Times::restore(now, secs(1000), started.map(secs));
            assert_eq!(times.duration(now), duration, "{at} {started:?}");
            assert!(times.at(now) >= Timestamp(times.started().unwrap_or_default()));
        }
    }

    #[test]
    fn a_call_that_ended_with_its_server_ends_when_that_was_last_known_to_run() {
        for (end, started, at, duration) in [
            (1070, Some(1010), 1070, 60),
            (1070, None, 1070, 0),
            // Nothing is known, or the clock was set back meanwhile: not before it was accepted, or
            // began.
            (0, Some(1010), 1010, 0),
            (0, None, 1000, 0),
            (900, Some(1010), 1010, 0),
            // Set years ahead.
            (u64::MAX, Some(1010), 1000 + LONGEST_BEFORE.as_secs(), LONGEST_BEFORE.as_secs() - 10),
        ] {
            // The next server comes a day later, and on the monotonic clock it has only begun.
            let now = now(1070 + 86_400);
            let times = Times::ended(now, secs(1000), started.map(secs), secs(end));
            assert_eq!(times.at(now), Timestamp(secs(at)), "{end} {started:?}");
            assert_eq!(times.duration(now), secs(duration), "{end} {started:?}");
        }
    }

    proptest! {
        #[test]
        fn times_are_in_order_however_the_clock_is_set(
            created: u32, steps in prop::collection::vec((0u64..10_000, any::<u32>()), 3),
        ) {
            let begun = now(created.into());
            let (mut instant, mut at) = (begun.instant, Vec::new());
            for (passed, unix) in steps {
                instant += Duration::from_millis(passed);
                at.push(Now { instant, unix: secs(unix.into()) });
            }
            let mut times = Times::begin(begun);
            times.start(at[0]);
            prop_assert_eq!(times.duration(at[1]), at[1].instant - at[0].instant);
            prop_assert!(times.created() <= times.started().unwrap());
            prop_assert!(Timestamp(times.started().unwrap()) <= times.at(at[1]));
            prop_assert!(times.at(at[1]) <= times.at(at[2]));
        }
    }
}
