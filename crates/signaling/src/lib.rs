//! The signaling core: sessions, calls and the events between them, with no I/O in it.
//!
//! A front (WebSocket, Socket.IO) turns frames into [`Input`]s; [`Hub::handle`] decides; the
//! [`Output`]s say what to send to whom. Time and randomness come from outside.
//!
//! | file | what lives there |
//! |---|---|
//! | `io` | what goes in and what comes out |
//! | `words`, `error` | the closed lists on the wire: event names, reasons, error codes |
//! | `hub` | the hub, its timers and the views for operators |
//! | `sessions`, `tokens` | connections come and go, and so do their tokens |
//! | `returning` | clients that leave, and those that come back and do not say which they were |
//! | `replay` | what a session that comes back has not seen yet |
//! | `events/` | what is sent, one type for each event |
//! | `answers` | what requests are answered with |
//! | `schema` | which payload belongs to which event, for the documents |
//! | `answered` | the same request again is answered again |
//! | `requests/` | what clients ask, one file each |
//! | `operators` | what operators do to calls and users |
//! | `kicks` | which tokens open no relay since their users were kicked |
//! | `members` | who is in a call or a room, and the ways between them |
//! | `rooms/` | calls of up to eight |
//! | `limits` | how many calls, and how often |
//! | `pairs` | how often one user calls another |
//! | `blocking` | users who may not call another one |
//! | `calls`, `relaying` | what happens to calls, whoever caused it |
//! | `reports` | each step of a call, for records and webhooks |
//! | `transfer` | a side goes on with a call on another device |
//! | `presence` | who hears whether a user can be called |
//! | `held` | calls that reach no device |
//! | `kept` | what is kept of calls for the next server, as it changes |
//! | `restored` | the calls of the server before this one |
//! | `call/` | one call: its state machine, its journals, its record |
//! | `named` | which addresses a side of a call names, for the relay |
//! | `payload`, `text` | JSON that comes in and goes out, as text |
//! | `sent` | what a side sends for another one, as far as it is looked into |
//! | `tables`, `outbox`, `rate`, `ice`, `stats` | what these are made of |
#![forbid(unsafe_code)]

pub mod jwt;

mod answers;
mod blocking;
mod call;
mod calls;
mod config;
mod error;
mod events;
mod hub;
mod ice;
mod idempotency;
mod io;
mod kept;
mod kicks;
mod limits;
mod members;
mod operators;
mod outbox;
mod pairs;
mod payload;
mod presence;
mod push_wait;
mod rate;
mod relaying;
mod replay;
mod reports;
mod requests;
mod restored;
mod returning;
mod rooms;
mod schema;
mod sdp_addresses;
mod sent;
mod sessions;
mod stats;
mod tables;
mod text;
mod tokens;
mod transfer;
mod wire_enums;

#[cfg(test)]
mod tests;

// The types of other crates that stand in this one's API.
pub use callbox_base::{
    auth::{Secret, TurnCredentials, TurnSecrets},
    clock::Now,
    entries::Change,
    ids::{CallId, DeviceId, IdError, ParticipantId, RoomId, SessionId, UserId},
    usage::{RelayUsage, Usage},
};

pub use call::{CallRecord, CallState, CallStats, Media, Participant, Path, Role, Timestamp};
pub use config::Config;
pub use error::{ErrorCode, RequestError};
pub use events::{ErrorEvent, EventError, EventErrorCode, IceServer, RelayAccess, SessionWelcome};
pub use hub::{Hub, OnlineUser};
pub use io::{Answer, ClientMark, CloseReason, Event, Input, Output, RequestId, Resume};
pub use operators::{Kicked, SessionRecord};
pub use payload::{Part, Payload, Text, Unreadable};
pub use push_wait::ASK_FOR;
pub use replay::{MAX_REPLAY, MAX_REPLAY_WEIGHT};
pub use reports::{CallEvent, CallReport};
pub use requests::AuthRefreshRequest;
pub use restored::{HowItStopped, Restored};
pub use schema::Described;
pub use stats::{Counters, Stats};
pub use text::JsonText;
pub use wire_enums::{
    CallType, EndReason, EnumCounts, EventName, PresenceStatus, RequestName, WireEnum,
};
