//! The counts and times of calls.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::session::Failure;
use crate::histogram::Histogram;

/// The parts of a call that are timed, each from when one side sends a message until the other side
/// has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// From when the call was to begin.
    Incoming,
    Accepted,
    Candidate,
    Offer,
    Answer,
    Ended,
    /// The whole call, from when it was to begin.
    Call,
}

impl Step {
    pub(super) const ALL: [Self; 7] = [
        Self::Incoming,
        Self::Accepted,
        Self::Candidate,
        Self::Offer,
        Self::Answer,
        Self::Ended,
        Self::Call,
    ];

    /// Returns its name in JSON, and for a person.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Incoming => ("initiateToIncoming", "initiate → incoming"),
            Self::Accepted => ("acceptToAccepted", "accept → accepted"),
            Self::Candidate => ("candidate", "candidate"),
            Self::Offer => ("offer", "offer"),
            Self::Answer => ("answer", "answer"),
            Self::Ended => ("endToEnded", "end → ended"),
            Self::Call => ("call", "the whole call"),
        }
    }
}

/// The times of the steps of one call.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<(Step, Duration)>);

impl Times {
    /// Adds a step that began at `since` and ends now.
    pub(super) fn add(&mut self, step: Step, since: Instant) {
        self.0.push((step, since.elapsed()));
    }
}

/// The results of all calls.
#[derive(Debug)]
pub(super) struct Statistics {
    steps: [Steps; Step::ALL.len()],
    pub completed: u64,
    pub failed: u64,
    /// The number of failed calls for each reason.
    pub errors: BTreeMap<String, u64>,
    /// The end of the last call.
    pub last: Instant,
}

/// The times of one step, in all calls.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    pub count: u64,
    pub latencies: Histogram,
}

impl Statistics {
    pub(super) fn new() -> Self {
        let step = Steps { count: 0, latencies: Histogram::new() };
        Self {
            steps: std::array::from_fn(|_| step.clone()),
            completed: 0,
            failed: 0,
            errors: BTreeMap::new(),
            last: Instant::now(),
        }
    }

    /// Counts a call that is over. Only steps of completed calls count as latencies.
    pub(super) fn add(&mut self, outcome: Result<Times, Failure>) {
        self.last = Instant::now();
        match outcome {
            Ok(times) => {
                self.completed += 1;
                for (step, latency) in times.0 {
                    let step = &mut self.steps[step as usize];
                    step.count += 1;
                    step.latencies.add(latency);
                }
            }
            Err(Failure(reason)) => {
                self.failed += 1;
                *self.errors.entry(reason.into_owned()).or_default() += 1;
            }
        }
    }

    pub(super) fn step(&self, step: Step) -> &Steps {
        &self.steps[step as usize]
    }
}
