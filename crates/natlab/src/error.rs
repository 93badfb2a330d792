//! The error of a lab, as a person reads it.

use std::{fmt, io};

/// The reason why something in a lab cannot be done: a sentence that also names what to do, where
/// that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabError(String);

impl LabError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Creates an error of the system, with what was tried.
    pub(crate) fn system(tried: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self(format!("{tried}: {error}"))
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LabError {}

/// A result with the text of an attempt that may fail.
pub(crate) trait Tried<T> {
    /// Names the attempt in the error.
    fn tried(self, what: impl fmt::Display) -> Result<T, LabError>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, what: impl fmt::Display) -> Result<T, LabError> {
        self.map_err(|error| LabError::system(what, error))
    }
}
