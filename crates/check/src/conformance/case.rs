//! A case of the suite.

use super::{link::Transports, target::Target, verdict::Verdict};

/// One requirement, and the code that tries it.
pub(super) struct Case {
    /// `family/name`.
    pub name: &'static str,
    /// The section of an RFC that has it.
    pub section: &'static str,
    /// The requirement, in a sentence.
    pub must: &'static str,
    /// The transports that it is for.
    pub transports: Transports,
    /// The code that tries it.
    pub run: fn(&Target) -> Verdict,
}

impl Case {
    /// Creates a case for every transport.
    pub(super) const fn new(
        name: &'static str,
        section: &'static str,
        must: &'static str,
        run: fn(&Target) -> Verdict,
    ) -> Self {
        Self { name, section, must, transports: Transports::Any, run }
    }

    /// Limits the case to datagrams.
    pub(super) const fn over_datagrams(self) -> Self {
        Self { transports: Transports::Datagrams, ..self }
    }

    /// Limits the case to streams.
    pub(super) const fn over_streams(self) -> Self {
        Self { transports: Transports::Streams, ..self }
    }
}
