//! The details of the steps of a trace.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The facts of the payload of an event that a trace has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The state of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub state: Option<String>,
    /// The media of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub call_type: Option<String>,
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The type of the candidate that media leaves by, as a client reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub path: Option<String>,
    /// The candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub candidate: Option<TracedCandidate>,
}

/// A candidate, without its foundation, priority and credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum TracedCandidate {
    /// An address of the client itself.
    Host(CandidateAddress),
    /// The address that a NAT gave it.
    Srflx(CandidateAddress),
    /// An address that the other side learned of from a packet.
    Prflx(CandidateAddress),
    /// A relayed address.
    Relay(CandidateAddress),
    /// The end of the candidates.
    End,
    /// A line that cannot be read.
    Unreadable,
}

impl TracedCandidate {
    /// Returns the address at which a STUN server sees a client that has this candidate.
    pub(super) fn seen_by_stun(&self) -> Option<SocketAddr> {
        match self {
            Self::Host(address) | Self::Srflx(address) => address.address,
            _ => None,
        }
    }
}

/// The address of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateAddress {
    /// The protocol.
    pub transport: Transport,
    /// The address; missing for a name, by which browsers hide the addresses of machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    pub address: Option<SocketAddr>,
}

/// The protocol between a client and the server, or between the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, or TLS over it.
    Tcp,
}

/// The direction of a relayed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// From the client to a peer.
    ToPeer,
    /// From a peer to the client.
    ToClient,
}

/// The change of the connection of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SessionChange {
    /// The connection broke; the session may be resumed.
    Lost,
    /// The session goes on with another connection.
    Resumed,
    /// The connection is gone, and the session cannot be resumed.
    Closed,
    /// The client has left.
    Left,
}

/// The fault that an event met with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EventFate {
    /// It was not sent.
    Dropped,
    /// It was held back.
    Delayed,
    /// It was sent twice.
    Duplicated,
}

/// The fault that a request to the relay met with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum TurnFate {
    /// It was answered with the error.
    Answered,
    /// It was not answered.
    Silenced,
}
