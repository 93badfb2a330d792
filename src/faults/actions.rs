//! The faults that are injected once.

use callbox_base::faults::Selector;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FaultError;

/// The longest outage or stall, in milliseconds.
const MAX_FOR_MS: u64 = 600_000;

/// A fault that is injected once, when the document comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "camelCase", deny_unknown_fields)]
pub enum FaultAction {
    /// Credentials for the relay that were made until now are over: every request with them is
    /// refused with 401.
    ExpireCredentials {
        /// The users and calls that they are for.
        #[serde(rename = "for", default)]
        #[schema(required = false)]
        selector: Selector,
    },
    /// Allocations are closed without a word to their clients.
    DropAllocations {
        /// The users and calls that they are for.
        #[serde(rename = "for", default)]
        #[schema(required = false)]
        selector: Selector,
    },
    /// The relay is gone: datagrams are discarded, streams are not read.
    RelayGone {
        /// The time in milliseconds.
        #[serde(rename = "forMs")]
        #[schema(minimum = 1, maximum = 600000)]
        for_ms: u64,
    },
    /// The connections of sessions are closed without a word.
    CutSession {
        /// The users, and the calls that they are in.
        #[serde(rename = "for", default)]
        #[schema(required = false)]
        selector: Selector,
    },
    /// From the connections of sessions nothing is read, and nothing is sent to them; they stay
    /// open. It ends with the next document.
    HalfOpenSession {
        /// The users, and the calls that they are in.
        #[serde(rename = "for", default)]
        #[schema(required = false)]
        selector: Selector,
    },
    /// The same for some time.
    StallSession {
        /// The users, and the calls that they are in.
        #[serde(rename = "for", default)]
        #[schema(required = false)]
        selector: Selector,
        /// The time in milliseconds.
        #[serde(rename = "forMs")]
        #[schema(minimum = 1, maximum = 600000)]
        for_ms: u64,
    },
}

impl FaultAction {
    /// Returns the name of the action, as it is in the document.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ExpireCredentials { .. } => "expireCredentials",
            Self::DropAllocations { .. } => "dropAllocations",
            Self::RelayGone { .. } => "relayGone",
            Self::CutSession { .. } => "cutSession",
            Self::HalfOpenSession { .. } => "halfOpenSession",
            Self::StallSession { .. } => "stallSession",
        }
    }

    /// Returns the users and calls that the action is for; `None` if it is for everybody.
    pub fn selector(&self) -> Option<&Selector> {
        match self {
            Self::RelayGone { .. } => None,
            Self::ExpireCredentials { selector }
            | Self::DropAllocations { selector }
            | Self::CutSession { selector }
            | Self::HalfOpenSession { selector }
            | Self::StallSession { selector, .. } => Some(selector),
        }
    }

    /// Checks the values; `path` is that of the action.
    ///
    /// # Errors
    /// [`FaultError::Value`]
    pub(super) fn check(&self, path: &str) -> Result<(), FaultError> {
        match self {
            Self::RelayGone { for_ms } | Self::StallSession { for_ms, .. }
                if !(1..=MAX_FOR_MS).contains(for_ms) =>
            {
                let expected = format!("it may be from 1 to {MAX_FOR_MS}");
                Err(FaultError::value(format!("{path}.forMs"), for_ms, expected))
            }
            _ => Ok(()),
        }
    }
}
