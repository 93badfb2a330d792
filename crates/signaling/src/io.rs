//! The inputs and the outputs of the hub.

use std::{hash::BuildHasher, net::IpAddr, sync::Arc};

use callbox_base::{
    entries::Change,
    ids::{CallId, DeviceId, SessionId, UserId},
    usage::Usage,
};

use super::{Answer, CallReport, CloseReason, Event, JsonText, Payload, RequestError};
use crate::jwt::Identity;

/// The driver's own name for a request that wants an answer. The hub only gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One thing that has happened, for [`Hub::handle`](crate::Hub::handle). Large and rare parts are
/// boxed, since an input is moved several times on its way to the hub.
#[derive(Debug)]
pub enum Input {
    /// A client has proved its identity. The outcome is [`Output::Welcome`], which
    /// [`Output::Resumed`] may precede, or, past a limit, [`Output::Close`].
    Open {
        /// The session's name, made by the driver and never used before.
        session: SessionId,
        /// The user, with the rights that the token gives.
        identity: Box<Identity>,
        /// The user's device; `None` for one of its own, named as the session is.
        device: Option<DeviceId>,
        /// The way in which it goes on from an earlier connection, or a later one may from this.
        resume: Resume,
    },
    /// A client asked for something or sent something to be relayed.
    Request {
        /// The session that asks.
        session: SessionId,
        /// The name for the answer; `None` where the client wants no answer. An error is then told
        /// with an `error` event.
        id: Option<RequestId>,
        /// The event's name, as the client wrote it.
        event: String,
        /// Its payload, as the client wrote it.
        data: Payload,
    },
    /// A client has sent `auth:refresh`, and the driver has checked the token, which is in the
    /// field that [`AuthRefreshRequest`](crate::AuthRefreshRequest) describes.
    Refresh {
        /// The session that asks.
        session: SessionId,
        /// As in [`Input::Request`].
        id: Option<RequestId>,
        /// Its payload without the token ([`Payload::without`]).
        data: Payload,
        /// The token's bearer, or the refusal that the client is to get.
        proof: Box<Result<Identity, RequestError>>,
    },
    /// The client has all events of its session up to this number.
    Acknowledged {
        /// The session.
        session: SessionId,
        /// The number, as [`Output::Send`] gave it.
        seq: u64,
    },
    /// The connection of a session broke: its client may come back and resume it.
    Lost {
        /// The session.
        session: SessionId,
    },
    /// The connection of a session is gone and cannot be resumed. Its calls wait for its device, as
    /// when it is lost.
    Closed {
        /// The session.
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
        /// The counters that were reported with it, now final.
        usage: Arc<Usage>,
    },
    /// The answer to [`Output::AskToHold`].
    HoldDecision {
        /// The call.
        call: CallId,
        /// True if the call is to wait for a device; else it ends.
        hold: bool,
    },
    /// The relay has stopped, and every [`Input::RelayClosed`] has been handed in. The last reports
    /// come out.
    RelayStopped,
    /// The server stops: every session is closed, and every call ends with `server_shutdown` unless
    /// calls are kept.
    Shutdown,
}

/// The relation of a new connection to other ones of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Its client cannot resume a session.
    Never,
    /// Its client can neither resume a session nor name its device. If one device of the user is
    /// lost that had the same mark, it is taken for that.
    Like(ClientMark),
    /// Its client can resume sessions, and this one is new.
    New,
    /// It resumes this session, of whose events it has those up to `seq`. If that is not possible,
    /// it is a new one.
    From {
        /// The session.
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
    /// Makes the mark of a client with this token. `keys` must be unguessable, and the same for
    /// all.
    pub fn of(keys: &impl BuildHasher, token: &str, user_agent: Option<&str>) -> Self {
        Self(keys.hash_one((token, user_agent)))
    }
}

/// Something for the driver to do, in the order in which
/// [`Hub::poll_output`](crate::Hub::poll_output) gives it: for each session it is the order of
/// effects.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The session is open: its first message, with `sessionId`, `userId`, `iceServers`,
    /// `turnCredentials`.
    Welcome {
        /// The session.
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
        /// The session to send it to.
        session: SessionId,
        /// Its number in the session, if the session can be resumed.
        seq: Option<u64>,
        /// The event.
        event: Event,
    },
    /// Answer a request.
    Answer {
        /// The session to send it to.
        session: SessionId,
        /// The request.
        id: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// Close the session. The hub has forgotten it; no [`Input::Closed`] is owed.
    Close {
        /// The session.
        session: SessionId,
        /// The reason.
        reason: CloseReason,
    },
    /// A side of a call has announced addresses: the relay lets the other side reach them. It comes
    /// before what announces them is sent on, and never after [`Output::CallEnded`].
    PeersAnnounced {
        /// The call.
        call: CallId,
        /// The user at these addresses.
        by: UserId,
        /// The user who may reach them.
        to: UserId,
        /// The addresses, at least one; known ones may be among them.
        addresses: Vec<IpAddr>,
    },
    /// A user is in a room, with the first of the user's devices: the relay takes the user's
    /// credentials for it, should it have refused them since [`Output::RevokeUser`].
    ReadmitUser {
        /// The room's call.
        call: CallId,
        /// The user.
        user: UserId,
    },
    /// A user is in a room no more, which goes on: the relay closes the user's allocations for it
    /// and refuses the user's credentials.
    RevokeUser {
        /// The room's call.
        call: CallId,
        /// The user.
        user: UserId,
    },
    /// A user who was kicked has a new token: the relay takes the user's credentials again.
    LiftKick {
        /// The user.
        user: UserId,
    },
    /// A call is over: the relay closes its allocations and refuses its credentials from now on.
    CallEnded {
        /// The call.
        call: CallId,
    },
    /// A call reaches no device: ask somebody outside if it is to wait for one, and answer with
    /// [`Input::HoldDecision`] within [`ASK_FOR`](crate::ASK_FOR); without that, the call ends.
    AskToHold(Box<CallReport>),
    /// Report a step of a call to whoever keeps records. Steps before the end come only with
    /// [`Config::report_calls`](crate::Config::report_calls).
    Report(Box<CallReport>),
    /// Store a change of a call for the next server, with
    /// [`Config::keep_calls`](crate::Config::keep_calls). Hold back the outputs that came out with
    /// it until it is stored.
    Keep(Change),
}
