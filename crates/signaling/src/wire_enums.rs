//! The closed lists of names on the wire: event names, states, reasons.

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

/// A closed list of words, each with its index in the list.
pub trait WireEnum: Copy + 'static {
    /// Every word, in the order of their indexes.
    const ALL: &'static [Self];

    /// Returns the index of this word in [`WireEnum::ALL`].
    fn index(self) -> usize;
}

/// Declares an enum that is a closed list of words, so that a word and its variant are written
/// down once and nothing can be left out of `ALL`.
macro_rules! wire_enum {
    ($(#[doc = $doc:literal])* pub enum $name:ident {
        $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal,)+
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let words = [$((Self::$variant.as_str(), Self::$variant.meaning()),)+];
                $crate::wire_enums::schema(concat!($($doc),*).trim(), &words)
            }
        }

        impl utoipa::ToSchema for $name {}

        impl $name {
            /// Returns the word as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Returns the meaning of the word, for documents.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($variant_doc),*).trim_ascii(),)+
                }
            }
        }

        impl $crate::wire_enums::WireEnum for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use wire_enum;

/// Returns the schema of a closed list: its words with their meanings.
pub(super) fn schema(doc: &str, words: &[(&str, &str)]) -> RefOr<Schema> {
    let mut description = format!("{doc}\n");
    for (word, meaning) in words {
        description += &format!("\n- `{word}`: {meaning}");
    }
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().map(|(word, _)| *word)))
        .description(Some(description))
        .into()
}

wire_enum! {
    /// The requests of clients: the names of the events that they send.
    pub enum RequestName {
        /// Go on with another token.
        AuthRefresh = "auth:refresh",
        /// Call a user.
        CallInitiate = "call:initiate",
        /// This device is alerting its user.
        CallRing = "call:ring",
        /// Take the call on this device.
        CallAccept = "call:accept",
        /// Refuse the call, on all devices.
        CallReject = "call:reject",
        /// Take back a call that nobody has accepted.
        CallCancel = "call:cancel",
        /// Hang up.
        CallEnd = "call:end",
        /// An ICE candidate for the other side.
        IceCandidate = "ice:candidate",
        /// An SDP offer for the other side.
        SignalOffer = "signal:offer",
        /// An SDP answer for the other side.
        SignalAnswer = "signal:answer",
        /// Go on with the call on another device.
        CallTransfer = "call:transfer",
        /// Media flows.
        CallConnected = "call:connected",
        /// Media stopped flowing, and this side works on it.
        CallReconnecting = "call:reconnecting",
        /// The media that this side sends now.
        MediaUpdate = "media:update",
        /// Carry something else from now on.
        CallUpgrade = "call:upgrade",
        /// Anything that the sides have to say.
        CallMessage = "call:message",
        /// The quality of the call, as this side measured it.
        CallStats = "call:stats",
        /// Fresh relay credentials.
        IceRefresh = "ice:refresh",
        /// Come into a room.
        RoomJoin = "room:join",
        /// Go out of a room.
        RoomLeave = "room:leave",
        /// See whether these users can be called, from now on.
        PresenceSubscribe = "presence:subscribe",
        /// Take no calls from a user any more, or take them again.
        UserBlock = "user:block",
    }
}

wire_enum! {
    /// The events of the server: the names of what it sends.
    pub enum EventName {
        /// The session's token is about to expire.
        AuthExpiring = "auth:expiring",
        /// Somebody calls you.
        CallIncoming = "call:incoming",
        /// A device of the callee is alerting.
        CallRinging = "call:ringing",
        /// A device of the callee has taken the call.
        CallAccepted = "call:accepted",
        /// The call is over for this session.
        CallEnded = "call:ended",
        /// The call changed its state.
        CallState = "call:state",
        /// The other side lost its connection, or says that its media did.
        CallReconnecting = "call:reconnecting",
        /// The other side is back.
        CallReconnected = "call:reconnected",
        /// The state of a call, for a device that came back without its session.
        CallSync = "call:sync",
        /// The other side's ICE candidate.
        IceCandidate = "ice:candidate",
        /// The other side's SDP offer.
        SignalOffer = "signal:offer",
        /// The other side's SDP answer.
        SignalAnswer = "signal:answer",
        /// A side goes on with the call on another device, or does not.
        CallTransferred = "call:transferred",
        /// The media that the other side sends now.
        MediaUpdated = "media:updated",
        /// The other side wants the call to carry something else.
        CallUpgrade = "call:upgrade",
        /// The call carries something else, or does not.
        CallUpgraded = "call:upgraded",
        /// A message of the other side.
        CallMessage = "call:message",
        /// Fresh relay credentials.
        IceServers = "ice:servers",
        /// A participant joined the room.
        RoomJoined = "room:joined",
        /// A participant left the room.
        RoomLeft = "room:left",
        /// The state of a room, for a device that came back without its session.
        RoomSync = "room:sync",
        /// A user can be called, or cannot any more.
        PresenceChanged = "presence:changed",
        /// The server stops; it says after what time to connect again.
        ServerDraining = "server:draining",
        /// An event that wanted no answer was refused, or, over Socket.IO, the connection is closed
        /// next.
        Error = "error",
    }
}

wire_enum! {
    /// The presence of a user: if there is anybody to be called.
    pub enum PresenceStatus {
        /// At least one device is connected, or may yet resume its session.
        Online = "online",
        /// The same, and the user is in as many calls as the user may be in.
        Busy = "busy",
        /// No device is connected.
        Offline = "offline",
    }
}

wire_enum! {
    /// The `RTCIceTransportPolicy` that a client is to use: the server forces it, for tests.
    pub enum IceTransportPolicy {
        /// Relayed candidates alone.
        Relay = "relay",
    }
}

wire_enum! {
    /// The media of a call.
    pub enum CallType {
        /// Sound only.
        Audio = "audio",
        /// Sound and pictures.
        Video = "video",
    }
}

wire_enum! {
    /// The reason for which a call is over, or over for one device.
    pub enum EndReason {
        /// A side hung up.
        Hangup = "hangup",
        /// The callee refused.
        Rejected = "rejected",
        /// The callee has as many calls as a user may have, or a device of it said so.
        Busy = "busy",
        /// Nobody accepted in the ring time.
        Timeout = "timeout",
        /// The caller took it back before anyone accepted.
        Cancelled = "cancelled",
        /// Another device of the user accepted, or goes on with the call. Told to a device; never a
        /// call's own reason.
        AnsweredElsewhere = "answered_elsewhere",
        /// Another device of the callee refused. Told to a device; never a call's own reason.
        RejectedElsewhere = "rejected_elsewhere",
        /// The callee has no device connected.
        Offline = "offline",
        /// A side may no longer take part.
        Unauthorized = "unauthorized",
        /// A side left: it disconnected for good, or began another call where this one waited for
        /// its lost connection.
        Left = "left",
        /// A side found no path for the media.
        IceFailed = "ice_failed",
        /// A side's connection to the server was lost, and it did not come back in time; or a side
        /// said that its media was lost for good.
        ConnectionLost = "connection_lost",
        /// The server stopped.
        ServerShutdown = "server_shutdown",
        /// The server crashed, or its machine did, and nobody came back to the call.
        ServerCrashed = "server_crashed",
        /// An administrator ended it.
        Kicked = "kicked",
        /// The relay credentials of a side were revoked.
        CredentialsRevoked = "credentials_revoked",
    }
}

impl RequestName {
    /// Returns the request that has this name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|request| request.as_str() == name)
    }

    /// Returns true if the request shows that its device knows of the call that it is in.
    pub(super) fn is_about_a_call(self) -> bool {
        !matches!(
            self,
            Self::AuthRefresh
                | Self::CallInitiate
                | Self::IceRefresh
                | Self::RoomJoin
                | Self::PresenceSubscribe
                | Self::UserBlock
        )
    }

    /// Returns true if the request is only for the two sides of a call, and not for a room.
    pub(super) fn is_for_two(self) -> bool {
        matches!(
            self,
            Self::CallRing
                | Self::CallAccept
                | Self::CallReject
                | Self::CallCancel
                | Self::CallEnd
                | Self::CallTransfer
                | Self::CallUpgrade
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_word_is_parsed_back() {
        for &reason in EndReason::ALL {
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.as_str());
            assert_eq!(serde_json::from_value::<EndReason>(json).unwrap(), reason);
        }
        for &name in RequestName::ALL {
            assert_eq!(RequestName::parse(name.as_str()), Some(name));
        }
        assert_eq!(RequestName::parse("call:transferred"), None);
    }
}
