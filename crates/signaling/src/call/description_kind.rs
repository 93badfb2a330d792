//! The kinds of session descriptions.

use serde::{Deserialize, Serialize};

/// The two descriptions of an exchange (RFC 3264).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DescriptionKind {
    Offer,
    Answer,
}

impl DescriptionKind {
    /// Returns the `type` of a browser's `RTCSessionDescription`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }
}
