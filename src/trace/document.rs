//! The document of a trace, as `GET /api/v1/calls/{id}/trace` answers with it and `--trace-dir`
//! stores it.

use std::net::{IpAddr, SocketAddr};

use callbox_base::ids::{CallId, UserId};
use callbox_signaling::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::details::{EventFate, Facts, SessionChange, Transport, TurnFate, Way};

/// The steps of a call, as the server saw them. It has no session descriptions, no keys, no texts
/// of messages, and of candidates the type, the protocol and the address alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallTrace {
    /// The call.
    pub call_id: CallId,
    /// The time of the first step.
    pub started_at: Timestamp,
    /// True once the call is over and the relay has closed its last allocation.
    pub is_over: bool,
    /// The users, in the order of their first steps: the caller first.
    pub users: Vec<UserId>,
    /// The fault that is found in the steps, or the way in which the call went well, in one
    /// sentence.
    pub diagnosis: String,
    /// The number of steps that are missing in the middle, since there were too many.
    pub omitted: u64,
    /// The steps, ordered by time.
    pub steps: Vec<Step>,
}

/// A step of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The time since the first step, in milliseconds.
    pub at_ms: f64,
    /// The kind of the step, and its details.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum What {
    /// A device of a user has sent an event to the server.
    Request {
        /// The user.
        user: UserId,
        /// The name of the event.
        event: String,
        /// The code of the error with which it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        error: Option<String>,
        /// The facts of its payload.
        #[serde(flatten)]
        facts: Facts,
    },
    /// The server has sent an event to a device of a user.
    Event {
        /// The user.
        user: UserId,
        /// The name of the event.
        event: String,
        /// The fault that it met with, since a test wanted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        fault: Option<EventFate>,
        /// The facts of its payload.
        #[serde(flatten)]
        facts: Facts,
    },
    /// The connection of a device of a user changed.
    Session {
        /// The user.
        user: UserId,
        /// The change.
        change: SessionChange,
    },
    /// The STUN server has answered a Binding request: the first one of each address of a client.
    Binding {
        /// The user.
        user: UserId,
        /// The address of the client, as the server sees it.
        #[schema(value_type = String)]
        client: SocketAddr,
        /// The protocol.
        transport: Transport,
    },
    /// The relay has answered a request, or is silent since a test wanted it.
    Turn {
        /// The user.
        user: UserId,
        /// The address of the client, as the server sees it.
        #[schema(value_type = String)]
        client: SocketAddr,
        /// The protocol.
        transport: Transport,
        /// The method, such as `Allocate`.
        method: String,
        /// The error code of the answer; missing for a success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        error: Option<u16>,
        /// The fault in the credentials, if they are refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        refusal: Option<String>,
        /// The relayed address of an allocation that was opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, value_type = Option<String>)]
        relayed: Option<SocketAddr>,
        /// The peers that the request names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false, value_type = Vec<String>)]
        peers: Vec<SocketAddr>,
        /// The number of the channel that it names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        channel: Option<u16>,
        /// The lifetime in seconds: of a new allocation the one that it has, else the one that the
        /// client asks for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        lifetime: Option<u32>,
        /// The fault, if a test wanted the error or the silence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        fault: Option<TurnFate>,
    },
    /// A permission or a channel of a user's allocation has expired.
    Expired {
        /// The user.
        user: UserId,
        /// The address of the permission.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, value_type = Option<String>)]
        peer: Option<IpAddr>,
        /// The number of the channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        channel: Option<u16>,
    },
    /// The first packet that was relayed in a direction by a user's allocation.
    FirstPacket {
        /// The user.
        user: UserId,
        /// The direction.
        direction: Way,
        /// The peer.
        #[schema(value_type = String)]
        peer: SocketAddr,
    },
    /// The first packet that was not relayed in a direction.
    FirstRefusedPacket {
        /// The user.
        user: UserId,
        /// The direction.
        direction: Way,
        /// The peer, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, value_type = Option<String>)]
        peer: Option<SocketAddr>,
        /// The reason, as the metric `callbox_relay_dropped_total` has it.
        reason: String,
    },
    /// The first packet that was lost in a direction, since a test wanted it.
    FirstLostPacket {
        /// The user.
        user: UserId,
        /// The direction.
        direction: Way,
    },
    /// An allocation of a user is closed.
    AllocationClosed {
        /// The user.
        user: UserId,
        /// The reason, as in the log.
        reason: String,
        /// The payload bytes from the client to its peers.
        #[serde(rename = "bytesUp")]
        bytes_up: u64,
        /// The payload bytes from the peers to the client.
        #[serde(rename = "bytesDown")]
        bytes_down: u64,
        /// The number of packets that were not relayed.
        #[serde(rename = "refusedPackets")]
        refused_packets: u64,
        /// The number of packets that were lost since a test wanted it.
        #[serde(rename = "lostPackets")]
        lost_packets: u64,
    },
    /// A test has injected a fault that concerns the call.
    Fault {
        /// The fault, as `PUT /api/v1/faults` names it.
        fault: String,
        /// The user that it is for, if it is for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        user: Option<UserId>,
    },
    /// The call is over.
    Over {
        /// The reason.
        reason: String,
        /// The user who ended it; missing where the server did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        user: Option<UserId>,
    },
}

impl What {
    /// Returns the user who takes part in the call by this step.
    pub(super) fn participant(&self) -> Option<&UserId> {
        match self {
            Self::Request { user, .. } | Self::Event { user, .. } | Self::Turn { user, .. } => {
                Some(user)
            }
            _ => None,
        }
    }
}
