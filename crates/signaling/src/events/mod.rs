//! The payload of each event of the server, one type each. From them come the bytes that are sent
//! and the documents that describe them ([`schema`](super::schema)).
//!
//! The doc comments here are what clients read.

mod calls;
mod ice;
mod in_call;
mod presence;
mod relayed;
mod rooms;
mod sessions;

pub(super) use calls::{
    CallAcceptedEvent, CallEndedEvent, CallIncomingEvent, CallReconnectedEvent,
    CallReconnectingEvent, CallRingingEvent, CallStateEvent, CallSyncEvent, CallTransferredEvent,
    OpenUpgrade,
};
pub(super) use ice::IceServersEvent;
pub use ice::{IceServer, RelayAccess};
pub(super) use in_call::{CallUpgradeEvent, CallUpgradedEvent, MediaUpdatedEvent};
pub(super) use presence::PresenceChangedEvent;
pub(super) use relayed::{
    CallMessageEvent, IceCandidate, IceCandidateEvent, Sdp, SignalAnswerEvent, SignalOfferEvent,
};
pub(super) use rooms::{
    Relayed, RoomJoinedEvent, RoomLeftEvent, RoomParticipant, RoomSyncEvent, RoomView,
};
pub(super) use sessions::{AuthExpiringEvent, ServerDrainingEvent};
pub use sessions::{ErrorEvent, EventError, EventErrorCode, SessionWelcome};

use super::{EventName, message::EventPayload};

/// Names the event of each payload.
macro_rules! payloads {
    ($($event:ident = $payload:ty,)+) => {
        $(impl EventPayload for $payload {
            const NAME: EventName = EventName::$event;
        })+
    };
}

payloads! {
    AuthExpiring = AuthExpiringEvent,
    CallIncoming = CallIncomingEvent,
    CallRinging = CallRingingEvent,
    CallAccepted = CallAcceptedEvent,
    CallEnded = CallEndedEvent,
    CallState = CallStateEvent,
    CallReconnecting = CallReconnectingEvent,
    CallReconnected = CallReconnectedEvent,
    CallSync = CallSyncEvent,
    CallTransferred = CallTransferredEvent,
    MediaUpdated = MediaUpdatedEvent,
    CallUpgrade = CallUpgradeEvent,
    CallUpgraded = CallUpgradedEvent,
    IceServers = IceServersEvent,
    RoomJoined = RoomJoinedEvent,
    RoomLeft = RoomLeftEvent,
    RoomSync = RoomSyncEvent,
    PresenceChanged = PresenceChangedEvent,
    ServerDraining = ServerDrainingEvent,
    Error = ErrorEvent,
}
