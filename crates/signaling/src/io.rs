//! What goes into the hub and what comes out of it.

use std::{hash::BuildHasher, net::IpAddr, sync::Arc};

use callbox_base::{
    entries::Change,
    ids::{CallId, DeviceId, SessionId, UserId},
    usage::Usage,
};

use super::{CallReport, JsonText, Payload, RequestError, wire_enums::wire_enum};
use crate::jwt::Identity;

/// The front's own name for a request that wants an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One thing that happened, told to the hub. What is long and rare is boxed: an input is moved several
/// times on its way to the hub.
#[derive(Debug)]
pub enum Input {
    /// A connection has proved who it is. AnsweredRequests with [`Output::Welcome`] or, past a limit,
    /// with [`Output::Close`].
    Open {
        /// The session's name, made by the shell and never used before.
        session: SessionId,
        /// Who it is.
        identity: Box<Identity>,
        /// On which of the user's devices; `None` for one of its own, named as the session is.
        device: Option<DeviceId>,
        /// Whether it goes on from an earlier connection, and whether a later one may from this.
        resume: Resume,
    },
    /// A client asked for something or sent something to be relayed.
    Request {
        /// Who asks.
        session: SessionId,
        /// Which answer belongs to it; `None` where the client wants no answer. An error is then
        /// told with an `error` event.
        id: Option<RequestId>,
        /// The event's name, as the client wrote it.
        event: String,
        /// Its payload, as the client wrote it.
        data: Payload,
    },
    /// A client sent `auth:refresh`, and its front has looked at the token.
    Refresh {
        /// Who asks.
        session: SessionId,
        /// As in [`Input::Request`].
        id: Option<RequestId>,
        /// Its payload, without the token.
        data: Payload,
        /// Who the token's bearer is, or what is wrong with it.
        proof: Box<Result<Identity, RequestError>>,
    },
    /// The client has all events of its session up to this number.
    Acknowledged {
        /// Whose session.
        session: SessionId,
        /// The number, as [`Output::Send`] gave it.
        seq: u64,
    },
    /// The connection of a session broke: its client may come back and resume it.
    Lost {
        /// Whose.
        session: SessionId,
    },
    /// The connection of a session is gone and cannot be resumed. Its calls wait for its device, as
    /// when it is lost.
    Closed {
        /// Whose.
        session: SessionId,
    },
    /// The client has left, and its calls with it.
    Left {
        /// The session.
        session: SessionId,
    },
    /// The relay opened an allocation for a call.
    RelayOpened {
        /// The call its credentials are scoped to.
        call: CallId,
        /// Its live counters.
        usage: Arc<Usage>,
    },
    /// The relay closed an allocation that it had reported as opened.
    RelayClosed {
        /// The call its credentials are scoped to.
        call: CallId,
        /// The same counters, now final.
        usage: Arc<Usage>,
    },
    /// The answer to [`Output::AskToHold`].
    Held {
        /// Which call.
        call: CallId,
        /// Whether it is to wait for a device.
        hold: bool,
    },
    /// The relay has stopped and said all that it had to say.
    RelayStopped,
    /// The server stops: every session is closed, and every call ends with `server_shutdown` unless
    /// calls are kept.
    Shutdown,
}

/// How a new connection goes together with other ones of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Its client cannot go on with a session that lost its connection.
    Never,
    /// Nor can this one. It does not name its device, either: if one device of the user is lost that
    /// had the same mark, it is taken for that.
    Like(ClientMark),
    /// It can, and this is a new one.
    New,
    /// It goes on with this one, of whose events it has those up to `seq`. If that is not possible,
    /// it is a new one.
    From {
        /// Which.
        session: SessionId,
        /// The number of the last event that it has; 0 for none.
        seq: u64,
    },
}

/// A digest of a client's token and of what else the client shows of itself, by which it is
/// recognized if it does not name its device. Two clients of a user that have the same digest
/// cannot be told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientMark(u64);

impl ClientMark {
    /// The mark of a client with this token. `keys` must be unguessable, and the same for all.
    pub fn of(keys: &impl BuildHasher, token: &str, user_agent: Option<&str>) -> Self {
        Self(keys.hash_one((token, user_agent)))
    }
}

/// An event for a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, such as `call:incoming`.
    pub name: &'static str,
    /// Its payload. It may go to several sessions, and again to one that comes back.
    pub data: JsonText,
}

impl Event {
    /// An event with this payload.
    pub fn new(name: &'static str, data: JsonText) -> Self {
        Self { name, data }
    }
}

/// The answer to a request: a JSON object with `ok`, and `error` where `ok` is false.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(pub JsonText);

wire_enum! {
    /// Why the server closes a session.
    pub enum CloseReason {
        /// The token's time is over.
        TokenExpired = "token_expired",
        /// Too many connections of this user, or in all.
        TooManyConnections = "too_many_connections",
        /// It sent too many events, and went on after it was told.
        RateLimited = "rate_limited",
        /// The server stops.
        ServerShutdown = "server_shutdown",
        /// The same user and device connected again.
        Replaced = "replaced",
        /// An administrator closed it.
        Kicked = "kicked",
    }
}

/// What the hub wants done. The order is the order of effects for each session.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The session is open: its first message, with `sessionId`, `userId`, `iceServers`,
    /// `turnCredentials`.
    Welcome {
        /// Whose.
        session: SessionId,
        /// The payload of `session:welcome`.
        data: JsonText,
    },
    /// A connection goes on with an earlier session, under whose name everything happens from now
    /// on. The connection that the session had, if it still has one, is closed as replaced.
    Resumed {
        /// The name that the connection was opened with.
        connection: SessionId,
        /// The session.
        session: SessionId,
    },
    /// Send an event.
    Send {
        /// To whom.
        session: SessionId,
        /// Its number in the session, if the session can be resumed.
        seq: Option<u64>,
        /// What.
        event: Event,
    },
    /// Answer a request.
    Answer {
        /// To whom.
        session: SessionId,
        /// To which request.
        id: RequestId,
        /// What.
        answer: Answer,
    },
    /// Close the session. The hub has forgotten it; no [`Input::Closed`] is owed.
    Close {
        /// Whose.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// A side of a call has announced addresses: the relay lets the other side reach them. It comes
    /// before what announces them is sent on, and never after [`Output::CallEnded`].
    PeersAnnounced {
        /// Which call.
        call: CallId,
        /// Whose addresses they are.
        by: UserId,
        /// Who may reach them.
        to: UserId,
        /// At least one; known ones may be among them.
        addresses: Vec<IpAddr>,
    },
    /// A user is in a room, with the first of the user's devices: the relay takes the user's
    /// credentials for it, should it have refused them since [`Output::RevokeUser`].
    ReadmitUser {
        /// The room's call.
        call: CallId,
        /// Who.
        user: UserId,
    },
    /// A user is in a room no more, which goes on: the relay closes the user's allocations for it and
    /// refuses the user's credentials.
    RevokeUser {
        /// The room's call.
        call: CallId,
        /// Who.
        user: UserId,
    },
    /// A user who was kicked has a new token: the relay takes the user's credentials again.
    LiftKick {
        /// Who.
        user: UserId,
    },
    /// A call is over: the relay closes its allocations and refuses its credentials from now on.
    CallEnded {
        /// Which.
        call: CallId,
    },
    /// A call reaches no device: ask whether it is to wait for one. [`Input::Held`] says; without it,
    /// the call ends within seconds.
    AskToHold(Box<CallReport>),
    /// A call made a step, if somebody wants to know.
    Report(Box<CallReport>),
    /// Something changed that the next server is to know, if calls are kept. Whatever else came out with
    /// it is to reach nobody before it is kept.
    Keep(Change),
}
