//! The payloads that are relayed from one side to the other. They go on as the sender wrote them,
//! so these types only describe it; `relaying::signed` adds the sender.

#![expect(dead_code, reason = "only their schemas are used")]

use std::collections::BTreeMap;

use callbox_base::ids::{CallId, DeviceId, ParticipantId, RoomId, UserId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The other side's ICE candidate.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IceCandidateEvent {
    /// The call.
    call_id: CallId,
    /// The sender.
    from: UserId,
    /// The sender's device.
    from_device: DeviceId,
    /// The room, if the call is one.
    #[schema(nullable = false)]
    room_id: Option<RoomId>,
    /// The sender as a participant of the room.
    #[schema(nullable = false)]
    from_participant: Option<ParticipantId>,
    /// The candidate; null at the end of candidates.
    #[schema(required)]
    candidate: Option<IceCandidate>,
    /// Any other fields that the sender wrote.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// An ICE candidate in one of the forms that clients have it in.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum IceCandidate {
    /// The candidate line alone.
    Line(String),
    /// An `RTCIceCandidate` as browsers print it.
    Init(IceCandidateInit),
}

/// An `RTCIceCandidate` as browsers print it.
#[derive(Serialize, ToSchema)]
pub(crate) struct IceCandidateInit {
    /// The candidate line; empty at the end of candidates.
    candidate: String,
    /// The identification tag of its media section.
    #[serde(rename = "sdpMid")]
    sdp_mid: Option<String>,
    /// The index of its media section, from 0.
    #[serde(rename = "sdpMLineIndex")]
    sdp_m_line_index: Option<u16>,
    /// The ICE generation it belongs to.
    #[serde(rename = "usernameFragment")]
    username_fragment: Option<String>,
}

/// The other side's SDP offer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignalOfferEvent {
    /// The call.
    call_id: CallId,
    /// The sender.
    from: UserId,
    /// The sender's device.
    from_device: DeviceId,
    /// The room, if the call is one.
    #[schema(nullable = false)]
    room_id: Option<RoomId>,
    /// The sender as a participant of the room.
    #[schema(nullable = false)]
    from_participant: Option<ParticipantId>,
    /// The offer.
    sdp: Sdp,
    /// Any other fields that the sender wrote.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// The other side's SDP answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignalAnswerEvent {
    /// The call.
    call_id: CallId,
    /// The sender.
    from: UserId,
    /// The sender's device.
    from_device: DeviceId,
    /// The room, if the call is one.
    #[schema(nullable = false)]
    room_id: Option<RoomId>,
    /// The sender as a participant of the room.
    #[schema(nullable = false)]
    from_participant: Option<ParticipantId>,
    /// The answer.
    sdp: Sdp,
    /// Any other fields that the sender wrote.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// An offer or answer that was relayed before.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RelayedDescription {
    /// The call.
    call_id: CallId,
    /// The sender.
    from: UserId,
    /// The sender's device.
    from_device: DeviceId,
    /// The room, if the call is one.
    #[schema(nullable = false)]
    room_id: Option<RoomId>,
    /// The sender as a participant of the room.
    #[schema(nullable = false)]
    from_participant: Option<ParticipantId>,
    /// Offer or answer.
    #[serde(rename = "type")]
    kind: SdpType,
    /// The description.
    sdp: Sdp,
    /// Any other fields that the sender wrote.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// The type of a description.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SdpType {
    /// An offer.
    Offer,
    /// An answer.
    Answer,
}

/// A session description: the text, or the browser's whole `RTCSessionDescription`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Sdp {
    /// The text.
    Text(String),
    /// The browser's object.
    Description(SessionDescription),
}

/// An `RTCSessionDescription` as browsers print it.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionDescription {
    /// The type; ignored, since the name of the event gives it.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The text.
    sdp: String,
}

/// Anything that the other side has to say.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallMessageEvent {
    /// The call.
    call_id: CallId,
    /// The sender.
    from: UserId,
    /// The sender's device.
    from_device: DeviceId,
    /// The room, if the call is one.
    #[schema(nullable = false)]
    room_id: Option<RoomId>,
    /// The sender as a participant of the room.
    #[schema(nullable = false)]
    from_participant: Option<ParticipantId>,
    /// The content: any JSON.
    data: Value,
    /// Any other fields that the sender wrote.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}
