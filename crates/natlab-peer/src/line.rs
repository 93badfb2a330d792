//! The lines between two built-in peers.

use serde::{Deserialize, Serialize};

use crate::outcome::Transport;

/// The short-term credentials of an ICE agent (RFC 8445 §7.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The username fragment.
    pub ufrag: String,
    /// The password.
    pub pwd: String,
}

/// A line from one peer for the other, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Description(Credentials),
    /// A candidate.
    Candidate {
        /// The candidate as in SDP (RFC 8839 §5.1), without `candidate:`.
        candidate: String,
        /// The transport to the TURN server, of a relayed candidate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        relay: Option<Transport>,
    },
    /// A relayed candidate is known: checks from it may come.
    Known,
    /// All packets are sent.
    Sent {
        /// Their number.
        packets: u32,
    },
    /// The answer to [`Sent`](Self::Sent), once no more packets come.
    Received {
        /// The number of different packets.
        packets: u32,
    },
}
