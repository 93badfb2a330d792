//! The codes of refusals.

use super::wire_enums::wire_enum;

wire_enum! {
    /// The reason for which an event or a connection was refused.
    pub enum ErrorCode {
        /// There is no token, or it is not valid here.
        Unauthorized = "unauthorized",
        /// The token's time is over.
        TokenExpired = "token_expired",
        /// The keys of the token's issuer cannot be had at the moment, so that nobody knows if it
        /// is valid. `retryAfterMs` says when they are tried again.
        IssuerUnavailable = "issuer_unavailable",
        /// The token is another user's than the session.
        WrongUser = "wrong_user",
        /// A frame has not the form that the protocol asks for.
        InvalidFrame = "invalid_frame",
        /// No such event.
        UnknownEvent = "unknown_event",
        /// A field is missing or has the wrong type.
        InvalidPayload = "invalid_payload",
        /// The message, or a part of it, is larger than the limit.
        PayloadTooLarge = "payload_too_large",
        /// Too many events; `retryAfterMs` says when to go on.
        RateLimited = "rate_limited",
        /// Too many connections of this user or address, or in all.
        TooManyConnections = "too_many_connections",
        /// The user already has as many calls as a user may have.
        TooManyCalls = "too_many_calls",
        /// The session blocks as many users as it may.
        TooManyBlocked = "too_many_blocked",
        /// The journal for a side that is not there to hear is full.
        TooManyCandidates = "too_many_candidates",
        /// The server carries as many calls as it may.
        ServerFull = "server_full",
        /// The server is about to stop.
        ServerShutdown = "server_shutdown",
        /// This user cannot be called by the sender.
        InvalidTarget = "invalid_target",
        /// `callId` is missing, and the sender has not exactly one call that could be meant.
        CallIdRequired = "call_id_required",
        /// No such call.
        CallNotFound = "call_not_found",
        /// The call is over.
        CallEnded = "call_ended",
        /// The sender, or this device of it, is not in the call.
        NotAParticipant = "not_a_participant",
        /// Nobody in the room has this participant id, or not any more.
        ParticipantNotFound = "participant_not_found",
        /// The room has as many participants as it may have.
        RoomFull = "room_full",
        /// The other side may do that, the sender may not; or the token does not say so.
        NotAllowed = "not_allowed",
        /// The call is in a state in which that makes no sense.
        InvalidState = "invalid_state",
    }
}
