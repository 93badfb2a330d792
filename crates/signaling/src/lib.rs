//! A hub for WebRTC call signaling without I/O: sessions, calls, rooms and the events between them.
//!
//! The crate opens no connection, starts no task and waits for nothing. A program around it, the
//! *driver*, turns the frames of its clients into [`Input`]s, hands each to [`Hub::handle`], and
//! carries out the [`Output`]s. So the same hub serves any transport that carries JSON, and a test
//! moves its clock by hand. `examples/embed_hub.rs` in the repository is a whole server of one file
//! around it, over WebSocket; `src/http` is the driver of callbox itself, for WebSocket and
//! Socket.IO.
//!
//! It implements the protocol in `docs/protocol.md` of the repository: every request, event, reason
//! and error code, with examples; `docs/asyncapi.json` has the schema of each payload. Tokens are
//! JSON Web Tokens (RFC 7519, see [`jwt`]). Descriptions and candidates are passed on as text; the
//! hub reads in them no more than it needs to keep a candidate with its description (`ice-ufrag`,
//! RFC 8839) and to tell a relay at which addresses a side can be reached.
//!
//! # A first session
//!
//! The driver verifies a client's token ([`jwt::TokenVerifier`]), chooses a session id that was
//! never used before, and opens the session with [`Input::Open`]. [`Hub::poll_output`] returns the
//! messages to send.
//!
//! ```
//! use std::time::Duration;
//!
//! use callbox_signaling::{
//!     Config, Hub, Input, Now, Output, Resume, Secret, SessionId, UserId,
//!     jwt::{Grants, TokenKeys, TokenMinter, TokenVerifier, Wanted},
//! };
//! use rand::{SeedableRng, rngs::StdRng};
//!
//! // The back end of an application signs a token, and the driver checks it with the same secret.
//! let secret = Secret::new("a secret of the back end and the server");
//! let (now, hour) = (Now::read(), Duration::from_secs(3600));
//! let wanted =
//!     Wanted { user: UserId::new("alice")?, name: None, ttl: hour, grants: Grants::default() };
//! let token = TokenMinter::new(&secret, None, None).mint(&wanted, now)?.token;
//! let mut keys = TokenKeys::default();
//! keys.add_secret(&secret);
//! let identity = TokenVerifier::new(keys, None, None).verify(&token, now)?;
//!
//! let seed = [7; 32]; // A server takes it from the system's random source.
//! let mut hub = Hub::new(Config::default(), seed);
//! let session = SessionId::generate(now.unix_ms(), &mut StdRng::from_os_rng());
//! let identity = Box::new(identity);
//! hub.handle(now, Input::Open { session, identity, device: None, resume: Resume::Never });
//!
//! let Some(Output::Welcome { session: to, data }) = hub.poll_output() else { panic!() };
//! assert_eq!(to, session);
//! assert!(data.as_str().contains(r#""userId":"alice""#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The run loop
//!
//! A driver repeats three steps:
//!
//! 1. **Wait** for a frame of a client, for the end of a connection, for news of the relay, or
//!    until [`Hub::next_timeout`] is due.
//! 2. **Hand it over**: [`Hub::handle`] with the [`Input`], or [`Hub::handle_timeout`], each with
//!    the time ([`Now::read`]).
//! 3. **Carry out the outputs** in their order, until [`Hub::poll_output`] gives none.
//!
//! Here is a whole call, with clients that are lists of what they were sent:
//!
//! ```
//! use std::{collections::HashMap, time::{Duration, Instant}};
//!
//! use callbox_signaling::{
//!     Config, Hub, Input, Now, Output, Payload, RequestId, Resume, SessionId, Unreadable,
//! };
//! # use callbox_signaling::{UserId, jwt::{Grants, Identity, TokenId}};
//! use rand::{SeedableRng, rngs::StdRng};
//! use serde_json::{Value, json};
//!
//! /// The driver's side of the connections: the frames that were sent to each.
//! #[derive(Default)]
//! struct Clients(HashMap<SessionId, Vec<Value>>);
//!
//! impl Clients {
//!     /// Step 3: carries out every output.
//!     fn carry_out(&mut self, hub: &mut Hub) {
//!         while let Some(output) = hub.poll_output() {
//!             let (session, frame) = match output {
//!                 Output::Welcome { session, data } => {
//!                     (session, format!(r#"{{"event":"session:welcome","data":{}}}"#, data.as_str()))
//!                 }
//!                 Output::Send { session, event, .. } => {
//!                     let (name, data) = (event.name, event.data.as_str());
//!                     (session, format!(r#"{{"event":"{name}","data":{data}}}"#))
//!                 }
//!                 Output::Answer { session, id, answer } => {
//!                     (session, format!(r#"{{"re":{},"data":{}}}"#, id.0, answer.0.as_str()))
//!                 }
//!                 // `Close`, and what is for a relay or for records.
//!                 _ => continue,
//!             };
//!             let frame = serde_json::from_str(&frame).expect("what the hub sends is JSON");
//!             self.0.entry(session).or_default().push(frame);
//!         }
//!     }
//!
//!     /// The payload of the last frame that a client was sent with this event, or as this answer.
//!     fn last(&self, session: SessionId, member: &str, value: impl Into<Value>) -> &Value {
//!         let value = value.into();
//!         let found = self.0[&session].iter().rev().find(|frame| frame[member] == value);
//!         &found.expect("there is one")["data"]
//!     }
//! }
//!
//! /// A request of a client. Its payload is text that anybody may have written.
//! fn request(session: SessionId, id: u64, event: &str, data: &str) -> Result<Input, Unreadable> {
//!     let (id, event) = (Some(RequestId(id)), event.to_owned());
//!     Ok(Input::Request { session, id, event, data: Payload::parse(data)? })
//! }
//!
//! let mut hub = Hub::new(Config::default(), [7; 32]);
//! let mut clients = Clients::default();
//! let mut rng = StdRng::from_os_rng();
//! // The clock, which the example moves by hand.
//! let mut now = Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
//! # let identity = |user| Box::new(Identity {
//! #     user: UserId::new(user).unwrap(),
//! #     name: None,
//! #     expires: 1_700_086_400,
//! #     grants: Grants::default(),
//! #     token: TokenId::of(user),
//! #     issued: None,
//! # });
//! let [alice, bob] = ["alice", "bob"].map(|user| {
//!     let session = SessionId::generate(now.unix_ms(), &mut rng);
//!     let identity = identity(user); // from the client's token
//!     hub.handle(now, Input::Open { session, identity, device: None, resume: Resume::New });
//!     clients.carry_out(&mut hub);
//!     session
//! });
//!
//! // alice calls bob, who accepts.
//! let wanted = r#"{ "targetUserId": "bob", "callType": "video" }"#;
//! hub.handle(now, request(alice, 1, "call:initiate", wanted)?);
//! clients.carry_out(&mut hub);
//! let call = clients.last(bob, "event", "call:incoming")["callId"].clone();
//! hub.handle(now, request(bob, 1, "call:accept", &json!({ "callId": call }).to_string())?);
//! clients.carry_out(&mut hub);
//! assert_eq!(clients.last(alice, "event", "call:accepted")["callId"], call);
//!
//! // Descriptions go from one to the other as they were written.
//! let offer = json!({ "callId": call, "sdp": "v=0\r\n…" }).to_string();
//! hub.handle(now, request(alice, 2, "signal:offer", &offer)?);
//! clients.carry_out(&mut hub);
//! assert_eq!(clients.last(bob, "event", "signal:offer")["sdp"], "v=0\r\n…");
//!
//! // A request that makes no sense is answered with an error, and changes nothing.
//! hub.handle(now, request(bob, 2, "call:initiate", "[]")?);
//! clients.carry_out(&mut hub);
//! assert_eq!(clients.last(bob, "re", 2)["error"]["code"], "invalid_payload");
//!
//! // bob's connection breaks. The call waits for him, but not for ever.
//! hub.handle(now, Input::Lost { session: bob });
//! clients.carry_out(&mut hub);
//! while hub.calls(now).any(|call| call.ended_at.is_none()) {
//!     let due = hub.next_timeout().expect("somebody waits");
//!     now = now + due.duration_since(now.instant);
//!     hub.handle_timeout(now);
//!     clients.carry_out(&mut hub);
//! }
//! assert_eq!(clients.last(alice, "event", "call:ended")["reason"], "connection_lost");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules for the driver
//!
//! **Outputs**
//!
//! - After every call that takes `&mut Hub`, ask [`Hub::poll_output`] until it gives none, before
//!   the next input and before waiting.
//! - Carry outputs out in their order: for each session it is the order of effects. An answer comes
//!   before the events that the request sets off.
//! - Before something is sent to a client, carry out what came before it and is for others:
//!   [`Output::PeersAnnounced`] (the relay lets the addresses pass before a client receives them)
//!   and [`Output::ReadmitUser`], [`Output::RevokeUser`], [`Output::LiftKick`] and
//!   [`Output::CallEnded`].
//! - With [`Config::keep_calls`], hold back whatever came out with an [`Output::Keep`] until the
//!   change is stored: a client must not be told of something that a crash could undo.
//!   [`Output::LiftKick`] alone goes at once.
//! - After an [`Output::Close`] the hub has forgotten the session: send what was queued, close the
//!   connection, and use its name no more.
//! - Answer each [`Output::AskToHold`] with [`Input::HoldDecision`] within [`ASK_FOR`].
//!
//! **Time and randomness**
//!
//! - Call [`Hub::handle_timeout`] when [`Hub::next_timeout`] is due. [`Hub::handle`] does what was
//!   due before its input by itself; before the methods for operators ([`Hub::hang_up`],
//!   [`Hub::kick`]) call it first.
//! - [`Now::instant`] never goes back. [`Now::unix`] is compared with the times in tokens, and
//!   dates records.
//! - The seed is 32 unguessable bytes: the ids of calls come from it. The hub reads no clock and
//!   has no other source of randomness, so that the same seed and the same inputs give the same
//!   outputs.
//!
//! **Names**
//!
//! - A [`SessionId`] is made by the driver, at random, and never used twice
//!   ([`SessionId::generate`]).
//! - After [`Output::Resumed`] everything that comes from the new connection is handed in under the
//!   name of the session that goes on.
//! - A [`RequestId`] is the driver's own; the hub only gives it back in [`Output::Answer`].
//!
//! **Ends of connections**
//!
//! One of three inputs tells the hub that a connection is gone, and decides what becomes of its
//! calls: [`Input::Lost`] (the session can be resumed), [`Input::Closed`] (its calls wait for its
//! device) or [`Input::Left`] (its calls end).
//!
//! **Stopping**
//!
//! [`Input::Shutdown`] closes every session. [`Input::RelayStopped`] comes last, when the relay has
//! closed its allocations, and brings the last reports; without a relay it follows at once.
//!
//! # With a relay
//!
//! The hub makes credentials for a TURN server that knows the same secret
//! ([`Config::turn_secrets`], [`Config::turn_uris`]), each for one user and one call. If that
//! server is `callbox-turn`, the driver connects the two:
//!
//! | from | to |
//! |---|---|
//! | [`Output::PeersAnnounced`] | `Common::announce` |
//! | [`Output::CallEnded`] | `Common::end_call`, then `Engine::end_call` |
//! | [`Output::RevokeUser`] | `Common::revoke_user`, then `Engine::revoke_user` |
//! | [`Hub::kick`] | `Common::kick`, then `Engine::kick` |
//! | [`Output::ReadmitUser`], [`Output::LiftKick`] | `Common::readmit_user`, `Common::lift_kick` |
//! | `Event::AllocationOpened`, `Event::AllocationClosed` | [`Input::RelayOpened`], [`Input::RelayClosed`] |
//!
//! # Threads
//!
//! A [`Hub`] belongs to one thread or task at a time, and is `Send`; there is no lock in it.
//! [`jwt::TokenVerifier`] is `Send` and `Sync`: connections check tokens by themselves with one of
//! them, and only identities come to the hub.
//!
//! ```
//! fn may_be_sent<T: Send>() {}
//! fn may_be_shared<T: Send + Sync>() {}
//! may_be_sent::<callbox_signaling::Hub>();
//! may_be_sent::<callbox_signaling::Output>();
//! may_be_shared::<callbox_signaling::jwt::TokenVerifier>();
//! ```
//!
//! # Limits
//!
//! [`Config`] bounds everything that a client can make grow: sessions and calls in all and for each
//! user, events of a session and calls of a user in a time, kept candidates and descriptions,
//! `metadata`, calls that are over. A session that can be resumed keeps up to [`MAX_REPLAY`] events
//! of [`MAX_REPLAY_WEIGHT`] bytes. Payloads are nested no deeper than any parser of JSON can follow
//! ([`Payload`]). The driver bounds what comes before a session and after an output: how long a
//! frame may be, how many connections have shown no token yet, and how much may wait for a client
//! that does not read.
//!
//! # The main types
//!
//! | type | purpose |
//! |---|---|
//! | [`Config`] | the settings |
//! | [`Hub`] | the hub: inputs, outputs, timers, views and acts for operators |
//! | [`Input`], [`Payload`], [`Resume`] | something that has happened |
//! | [`Output`], [`Event`], [`Answer`], [`JsonText`] | something for the driver to do, and the texts to send |
//! | [`RequestError`], [`ErrorCode`] | the refusal of a request |
//! | [`jwt`] | tokens: [`TokenVerifier`](jwt::TokenVerifier), [`TokenMinter`](jwt::TokenMinter), [`Identity`](jwt::Identity) |
//! | [`CallRecord`], [`CallReport`], [`Stats`] | calls and numbers, for operators |
//! | [`RequestName`], [`EventName`], [`EndReason`], … | the closed lists of names on the wire ([`WireEnum`]) |
//!
//! # Inside the crate
//!
//! | module | contents |
//! |---|---|
//! | `config` | the settings of an operator |
//! | `io`, `message` | inputs and outputs, events and answers |
//! | `wire_enums`, `enum_counts`, `error`, `error_code`, `close_reason` | the closed lists on the wire: event names, reasons, error codes |
//! | `events/`, `answers`, `schema` | a type for each event and each answer, and their schemas |
//! | `hub/` | the hub: its public functions, and a file of functions for each subject that takes several parts |
//! | `hub/requests/` | a file for each request |
//! | `call/`, `rooms/`, `member` | calls of two, calls of up to eight, and the members of both |
//! | `ended_calls`, `settling` | calls that are over and still shown, and those whose end waits for the relay |
//! | `sessions`, `session_token`, `sender` | sessions, with and without a connection, their tokens, and the sender of a request |
//! | `users`, `watches`, `lost_devices` | users with their devices and calls, the watchers of presence, devices that may come back |
//! | `kicks`, `pair_rates` | kicked users, and the rates of calls between pairs of users |
//! | `rate`, `idempotency`, `replay` | limits of rates, requests that are made twice, events until they are acknowledged |
//! | `outbox`, `timer` | the outputs in their order, and the timers |
//! | `report`, `stats` | each step of a call, for records and webhooks, and the numbers of the metrics page |
//! | `persistence`, `kept` | the state of calls that outlasts the server |
//! | `sdp_addresses`, `relayed_content` | the addresses that a side names, and what is read of its messages |
//! | `payload`, `text` | JSON that comes in and goes out, as text |
//! | `timestamp`, `hash_table` | the time in payloads and records, and the hash table of what every request looks up |
//! | `jwt` | tokens |
#![forbid(unsafe_code)]

pub mod jwt;

mod answers;
mod call;
mod close_reason;
mod config;
mod ended_calls;
mod enum_counts;
mod error;
mod error_code;
mod events;
mod hash_table;
mod hub;
mod idempotency;
mod io;
mod kept;
mod kicks;
mod lost_devices;
mod member;
mod message;
mod outbox;
mod pair_rates;
mod payload;
mod persistence;
mod rate;
mod relayed_content;
mod replay;
mod report;
mod rooms;
mod schema;
mod sdp_addresses;
mod sender;
mod session_token;
mod sessions;
mod settling;
mod stats;
mod text;
mod timer;
mod timestamp;
mod users;
mod watches;
mod wire_enums;

#[cfg(test)]
mod tests;

// The types of other crates that stand in this one's API.
pub use callbox_base::{
    auth::{Secret, TurnCredentials, TurnSecrets},
    clock::Now,
    entries::{Change, Entries},
    ids::{CallId, DeviceId, IdError, ParticipantId, RoomId, SessionId, UserId},
    usage::{RelayUsage, Usage},
};

pub use call::{CallRecord, CallState, CallStats, Media, Participant, Path, Role};
pub use close_reason::CloseReason;
pub use config::Config;
pub use enum_counts::EnumCounts;
pub use error::RequestError;
pub use error_code::ErrorCode;
pub use events::{ErrorEvent, EventError, EventErrorCode, IceServer, RelayAccess, SessionWelcome};
pub use hub::{
    ASK_FOR, AuthRefreshRequest, Hub, Kicked, OnlineUser, PreviousStop, Restored, SessionRecord,
};
pub use io::{ClientMark, Input, Output, RequestId, Resume};
pub use message::{Answer, Event};
pub use payload::{Fields, Part, Payload, Text, Unreadable};
pub use replay::{MAX_REPLAY, MAX_REPLAY_WEIGHT};
pub use report::{CallEvent, CallReport};
pub use schema::Described;
pub use stats::{Counters, Stats};
pub use text::JsonText;
pub use timestamp::Timestamp;
pub use wire_enums::{
    CallType, EndReason, EventName, IceTransportPolicy, PresenceStatus, RequestName, WireEnum,
};
