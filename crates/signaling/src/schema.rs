//! The schemas of payloads by event and request, for the documents that are made from them. The
//! compiler checks that no event is missing; the tests, that every payload sent fits its schema.

use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::{EventName, RequestName, answers::*, events::*, hub::*};

/// The schema of a payload's type, for documents that are made from it.
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its schema.
    pub schema: RefOr<Schema>,
    /// The schemas that its own refers to, each by its name.
    pub refers_to: Vec<(String, RefOr<Schema>)>,
}

impl Described {
    /// Describes a type.
    pub fn of<T: ToSchema>() -> Self {
        let mut refers_to = Vec::new();
        T::schemas(&mut refers_to);
        Self { name: T::name().into(), schema: T::schema(), refers_to }
    }
}

impl EventName {
    /// Describes the event's payload.
    pub fn payload(self) -> Described {
        match self {
            Self::AuthExpiring => Described::of::<AuthExpiringEvent>(),
            Self::CallIncoming => Described::of::<CallIncomingEvent>(),
            Self::CallRinging => Described::of::<CallRingingEvent>(),
            Self::CallAccepted => Described::of::<CallAcceptedEvent>(),
            Self::CallEnded => Described::of::<CallEndedEvent>(),
            Self::CallState => Described::of::<CallStateEvent>(),
            Self::CallReconnecting => Described::of::<CallReconnectingEvent>(),
            Self::CallReconnected => Described::of::<CallReconnectedEvent>(),
            Self::CallSync => Described::of::<CallSyncEvent>(),
            Self::CallTransferred => Described::of::<CallTransferredEvent>(),
            Self::IceCandidate => Described::of::<IceCandidateEvent>(),
            Self::SignalOffer => Described::of::<SignalOfferEvent>(),
            Self::SignalAnswer => Described::of::<SignalAnswerEvent>(),
            Self::MediaUpdated => Described::of::<MediaUpdatedEvent>(),
            Self::CallUpgrade => Described::of::<CallUpgradeEvent>(),
            Self::CallUpgraded => Described::of::<CallUpgradedEvent>(),
            Self::CallMessage => Described::of::<CallMessageEvent>(),
            Self::IceServers => Described::of::<IceServersEvent>(),
            Self::RoomJoined => Described::of::<RoomJoinedEvent>(),
            Self::RoomLeft => Described::of::<RoomLeftEvent>(),
            Self::RoomSync => Described::of::<RoomSyncEvent>(),
            Self::PresenceChanged => Described::of::<PresenceChangedEvent>(),
            Self::ServerDraining => Described::of::<ServerDrainingEvent>(),
            Self::Error => Described::of::<ErrorEvent>(),
        }
    }
}

impl RequestName {
    /// Describes the request's payload, besides `msgId`.
    pub fn payload(self) -> Described {
        match self {
            Self::AuthRefresh => Described::of::<AuthRefreshRequest>(),
            Self::CallInitiate => Described::of::<CallInitiateRequest<'_>>(),
            Self::CallRing
            | Self::CallAccept
            | Self::CallCancel
            | Self::CallConnected
            | Self::CallReconnecting
            | Self::IceRefresh => Described::of::<CallRequest>(),
            Self::CallReject | Self::CallEnd => Described::of::<CallEndRequest<'_>>(),
            Self::IceCandidate => Described::of::<IceCandidateRequest>(),
            Self::SignalOffer | Self::SignalAnswer => Described::of::<SignalRequest>(),
            Self::MediaUpdate => Described::of::<MediaUpdateRequest>(),
            Self::PresenceSubscribe => Described::of::<PresenceSubscribeRequest>(),
            Self::UserBlock => Described::of::<UserBlockRequest>(),
            Self::CallUpgrade => Described::of::<CallUpgradeRequest>(),
            Self::CallTransfer => Described::of::<CallTransferRequest>(),
            Self::CallMessage => Described::of::<CallMessageRequest>(),
            Self::CallStats => Described::of::<CallStatsRequest>(),
            Self::RoomJoin => Described::of::<RoomJoinRequest<'_>>(),
            Self::RoomLeave => Described::of::<RoomLeaveRequest<'_>>(),
        }
    }

    /// Describes the answer to the request, besides `ok: true`.
    pub fn answer(self) -> Described {
        match self {
            Self::AuthRefresh => Described::of::<AuthRefreshAnswer>(),
            Self::CallInitiate => Described::of::<CallInitiateAnswer>(),
            Self::CallAccept | Self::CallConnected | Self::CallReconnecting => {
                Described::of::<CallStateAnswer>()
            }
            Self::CallReject | Self::CallCancel | Self::CallEnd => Described::of::<CallEndAnswer>(),
            Self::CallUpgrade => Described::of::<CallUpgradeAnswer>(),
            Self::CallTransfer => Described::of::<CallTransferAnswer>(),
            Self::IceRefresh => Described::of::<IceRefreshAnswer>(),
            Self::RoomJoin => Described::of::<RoomView>(),
            Self::RoomLeave => Described::of::<RoomLeaveAnswer>(),
            Self::PresenceSubscribe => Described::of::<PresenceSubscribeAnswer>(),
            Self::UserBlock => Described::of::<UserBlockAnswer>(),
            Self::CallRing
            | Self::IceCandidate
            | Self::SignalOffer
            | Self::SignalAnswer
            | Self::MediaUpdate
            | Self::CallMessage
            | Self::CallStats => Described::of::<CallAnswer>(),
        }
    }
}
