//! What a case is, and how it can come out.

use std::{fmt, io};

use super::target::Target;

/// What a case comes to; a value where it is a step on the way.
pub(super) type Verdict<T = ()> = Result<T, Fault>;

/// Why a case is not ok.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server does something else than it must.
    Failed {
        /// What it must do.
        expected: String,
        /// What it did.
        came: String,
    },
    /// There is nothing to judge: what the case is about is optional, and the server says openly
    /// that it lacks it, or something is missing here.
    Skipped(String),
}

impl Fault {
    /// The server does something else than it must.
    pub fn failed(expected: impl Into<String>, came: impl Into<String>) -> Self {
        Self::Failed { expected: expected.into(), came: came.into() }
    }

    /// There is nothing to judge.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::failed("a connection that stays", error.to_string())
    }
}

/// Something must be so.
pub(super) fn ensure(so: bool, expected: &str, came: impl fmt::Display) -> Verdict {
    if so { Ok(()) } else { Err(Fault::failed(expected, came.to_string())) }
}

/// Names a step, so that a failure of a case with several says which it was.
pub(super) trait Step {
    /// The same, with the step's name in front of what was expected.
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

/// Which transports a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// All of them.
    Any,
    /// Those that keep the bounds of messages and may lose them.
    Datagrams,
    /// Those that keep no bounds.
    Streams,
}

/// One requirement, and the code that tries it.
pub(super) struct Case {
    /// `family/name`.
    pub name: &'static str,
    /// Where it is written.
    pub section: &'static str,
    /// What must hold, in a sentence.
    pub must: &'static str,
    /// Which transports it is about.
    pub over: Over,
    /// Tries it.
    pub run: fn(&Target) -> Verdict,
}

impl Case {
    /// A case for every transport.
    pub const fn new(
        name: &'static str,
        section: &'static str,
        must: &'static str,
        run: fn(&Target) -> Verdict,
    ) -> Self {
        Self { name, section, must, over: Over::Any, run }
    }

    /// The same case, for datagrams alone.
    pub const fn over_datagrams(self) -> Self {
        Self { over: Over::Datagrams, ..self }
    }

    /// The same case, for streams alone.
    pub const fn over_streams(self) -> Self {
        Self { over: Over::Streams, ..self }
    }
}
