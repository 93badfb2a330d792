//! The reasons for which a document of faults is refused.

use std::fmt;

/// The reason for which a document of faults is refused. The text names the field and its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The text is not JSON.
    #[error("the faults are not JSON: {0}")]
    Json(String),
    /// A field is unknown, missing, or has a value of another kind.
    #[error("{path}: {reason}")]
    Field {
        /// The path of the field, such as `packets[0].lossPercent`.
        path: String,
        /// The reason.
        reason: String,
    },
    /// A value is out of its range.
    #[error("{path} is {value}: {expected}")]
    Value {
        /// The path of the field.
        path: String,
        /// The value.
        value: String,
        /// The values that are allowed.
        expected: String,
    },
}

impl FaultError {
    /// Makes the error of a value that is out of its range.
    pub(super) fn value(
        path: impl Into<String>,
        value: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Value { path: path.into(), value: value.to_string(), expected: expected.into() }
    }
}
