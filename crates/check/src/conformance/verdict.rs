//! The outcome of a case.

use std::{fmt, io};

/// The outcome of a case, or of a step in one, which may have a value.
pub(super) type Verdict<T = ()> = Result<T, Fault>;

/// The reason for which a case is not ok.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server does something else than it must.
    Failed {
        /// The requirement.
        expected: String,
        /// The message that came, or another event.
        came: String,
    },
    /// There is nothing to judge: the case is about something optional, and the server says openly
    /// that it lacks it, or something is missing on this side.
    Skipped(String),
}

impl Fault {
    /// Creates the fault of a server that does something else than it must.
    pub(super) fn failed(expected: impl Into<String>, came: impl Into<String>) -> Self {
        Self::Failed { expected: expected.into(), came: came.into() }
    }

    /// Creates the fault of a case that has nothing to judge.
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::failed("a connection that stays", error.to_string())
    }
}

/// Fails unless the condition holds.
pub(super) fn ensure(holds: bool, expected: &str, came: impl fmt::Display) -> Verdict {
    if holds { Ok(()) } else { Err(Fault::failed(expected, came.to_string())) }
}

/// Names a step, so that a failure of a case with several says which it was.
pub(super) trait Step {
    /// Puts the step's name in front of a failure's requirement.
    fn step(self, name: &str) -> Self;
}

impl<T> Step for Verdict<T> {
    fn step(self, name: &str) -> Self {
        self.map_err(|fault| match fault {
            Fault::Failed { expected, came } => {
                Fault::Failed { expected: format!("{name}: {expected}"), came }
            }
            skipped @ Fault::Skipped(_) => skipped,
        })
    }
}
