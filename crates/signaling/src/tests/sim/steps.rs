//! The steps of a run: random inputs, and time that passes.

use std::{collections::BTreeMap, time::Duration};

use rand::Rng;

use super::{Sim, ms};
use crate::{CallEvent, Input};

const STEPS: usize = 300;

impl Sim {
    pub(super) fn run(&mut self) {
        for _ in 0..8 {
            self.open();
        }
        for _ in 0..STEPS {
            self.step();
            self.pass();
            if self.rng.random_ratio(1, 200) {
                self.restart();
            }
            if self.hub.config().keep_calls && self.rng.random_ratio(1, 200) {
                self.crash();
            }
        }
        if self.rng.random_bool(0.5) {
            // In the middle of something.
            for _ in 0..20 {
                self.request();
            }
            self.stop();
            // If it was to keep calls, it cannot.
            self.hub.give_up_calls(self.now);
            self.drain();
        }
        while let Some(&session) = self.sessions.keys().next() {
            self.close_session(session);
        }
        for _ in 0..100 {
            self.advance(ms(1000));
        }
        for call in self.calls.values() {
            assert!(call.ended, "a call was left over");
        }
        assert!(self.rooms.values().all(|room| room.ended), "a room was left over");
        let mut last = self.reports.values().map(|report| report.event);
        assert!(last.all(|event| event == CallEvent::Ended), "an end was not reported");
        assert_eq!(self.reports.len(), self.calls.len() + self.rooms.len());
        let stats = self.hub.stats();
        let counters = stats.counters.clone();
        assert_eq!(counters.calls_started + self.restored, counters.calls_ended.total());
        assert_eq!(stats, crate::Stats { counters, ..Default::default() });
        assert_eq!(self.hub.next_timeout(), None);
        if self.hub.config().keep_calls {
            assert_eq!(self.kept, BTreeMap::new());
        }
    }

    /// Somebody does something.
    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..6 => self.open(),
            6..8 => self.close(),
            8..11 => self.lose(),
            14 => self.acknowledge(),
            15..19 => self.again(),
            19..22 => self.refresh(),
            11..13 => self.relay_opened(),
            13 => self.relay_closed(),
            22..25 => self.answer_hold(),
            25 if self.rng.random_bool(0.5) => self.kick(),
            25..40 if self.crowded => self.open(),
            _ => self.request(),
        }
    }

    /// Time goes by, often none or little, sometimes just up to a timer.
    fn pass(&mut self) {
        let by = match self.rng.random_range(0..100) {
            0..50 => ms(0),
            50..90 => ms(self.rng.random_range(0..400)),
            90..97 => {
                let due = self.hub.next_timeout().unwrap_or(self.now.instant);
                due.saturating_duration_since(self.now.instant)
            }
            _ => ms(self.rng.random_range(0..6000)),
        };
        if self.rng.random_bool(0.1) {
            // A driver that is late with its timers: the next input comes first.
            self.now = self.now + by;
        } else {
            self.advance(by);
        }
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.log.push(format!("{by:?} go by"));
        self.hub.handle_timeout(self.now);
        self.drain();
        let next = self.hub.next_timeout();
        assert!(next.is_none_or(|due| due > self.now.instant), "a timer that is due was left");
    }

    pub(super) fn input(&mut self, input: Input) {
        self.log.push(format!("{input:?}"));
        self.hub.handle(self.now, input);
        self.drain();
        // A call that another one replaces has ended by now.
        for (caller, max) in std::mem::take(&mut self.callers) {
            let calls = self.own_calls(&caller);
            assert!(max.is_none_or(|max| calls <= max as usize), "too many calls");
        }
    }
}
