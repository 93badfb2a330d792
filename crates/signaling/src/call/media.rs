//! The media that a side of a call sends, and the quality that it measures.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media that a side sends now, as it said with `media:update`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Media {
    /// True if it sends no sound.
    pub muted: bool,
    /// True if it sends pictures; missing if it has not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub video: Option<bool>,
    /// True if it has put the call on hold.
    pub held: bool,
}

/// The quality of a call, as a side measured it last with `RTCPeerConnection.getStats`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallStats {
    /// The round trip, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// The jitter, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Lost packets, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// The type of the candidate that media leaves by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
}

/// The types of candidates (RFC 8445 §5.1.1), as browsers name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CandidateType)]
pub enum Path {
    /// An address of its own.
    Host,
    /// One that a NAT gave it.
    Srflx,
    /// One that the other side learned of from a packet.
    Prflx,
    /// One of a relay.
    Relay,
}
