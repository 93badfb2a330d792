//! The code that both protocols share: open, forward, deliver.

use callbox_base::ids::{DeviceId, SessionId, UserId};
use callbox_signaling::{
    AuthRefreshRequest, CloseReason, ErrorCode, ErrorEvent, EventError, EventErrorCode, Input,
    JsonText, Payload, RequestError, RequestId, RequestName, Resume, jwt::Identity,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    app::App,
    arrival::Remote,
    counters::{Counted, Front},
    hub_task::HubHandle,
    session_queue::{Delivery, Inlet},
};

/// One connection's session with the hub. Dropping it reports the end of the connection to the hub.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    remote: Remote,
    hub: HubHandle,
    inlet: Inlet,
    /// The kind of end that is reported to the hub.
    end: End,
    /// The user and the protocol, once the hub has accepted the session.
    welcomed: Option<(UserId, Front)>,
    _counted: Counted,
    _running: TaskTrackerToken,
}

/// The kinds of end of a session's connection.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The connection broke: the client may come back.
    Lost,
    /// The client does not come back for this session, but perhaps for its calls, such as a page
    /// that is reloaded.
    Closed,
    /// The client has left, and leaves its calls.
    Left,
}

/// An instruction of a session to its connection.
#[derive(Debug)]
pub(super) enum Next {
    /// Send this delivery.
    Send(Delivery),
    /// The client reads too slowly: close its connection.
    TooSlow,
    /// Close the connection without a word.
    Severed,
    /// Read nothing and send nothing until [`Session::silence_over`].
    Silent,
}

impl Session {
    /// Opens or resumes a session. Without a device id, the connection is a device of its own.
    /// Returns the payload of `session:welcome` as well.
    ///
    /// # Errors
    /// The reason why the hub refused it.
    pub(super) async fn open(
        app: &App,
        front: Front,
        remote: Remote,
        identity: Identity,
        device: Option<DeviceId>,
        resume: Resume,
    ) -> Result<(Self, JsonText), CloseReason> {
        let id = app.session_id();
        let user = identity.user.clone();
        let inlet = app.hub.open(id, identity, device, resume).await;
        let mut session = Self {
            id,
            remote,
            hub: app.hub.clone(),
            inlet,
            end: End::Lost,
            welcomed: None,
            _counted: app.counters.sessions(front).enter(),
            _running: app.running.token(),
        };
        match session.inlet.recv().await {
            Some(Delivery::Welcome(data)) => {
                tracing::debug!(session = %id, ?user, front = front.label(), "session opened");
                session.welcomed = Some((user, front));
                Ok((session, data))
            }
            Some(Delivery::Close(reason)) => {
                tracing::debug!(?user, front = front.label(), code = %reason, "session refused");
                Err(reason)
            }
            // The hub sends one of the two first; if it sends nothing, it has stopped.
            _ => Err(CloseReason::ServerShutdown),
        }
    }

    /// Hands a request to the hub, waiting while it is busy. A token in it is checked before, and
    /// is not passed on.
    pub(super) async fn request(
        &self,
        app: &App,
        id: Option<RequestId>,
        event: String,
        data: Payload,
    ) {
        let session = self.id;
        let input = if event == RequestName::AuthRefresh.as_str() {
            let proof = match data.read() {
                Ok(AuthRefreshRequest { token }) => {
                    app.authenticator.identify(self.remote, &token).await
                }
                // The error could quote the token.
                Err(_) => {
                    Err(RequestError::new(ErrorCode::InvalidPayload, "`token` must be text."))
                }
            };
            Input::Refresh { session, id, data: data.without("token"), proof: Box::new(proof) }
        } else {
            Input::Request { session, id, event, data }
        };
        self.hub.tell(input).await;
    }

    /// Acknowledges all events up to this number.
    pub(super) async fn acknowledge(&self, seq: u64) {
        self.hub.tell(Input::Acknowledged { session: self.id, seq }).await;
    }

    /// Records that the client leaves, and leaves its calls.
    pub(super) fn leave(&mut self) {
        self.end = End::Left;
    }

    /// Records that the client has closed the connection in a way that does not tell if it comes
    /// back.
    pub(super) fn close(&mut self) {
        self.end = End::Closed;
    }

    /// Returns its id.
    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// Waits for something to send. May be cancelled without loss.
    pub(super) async fn next(&mut self) -> Next {
        match self.inlet.recv().await {
            Some(delivery) => Next::Send(delivery),
            None => self.interruption(),
        }
    }

    /// Waits for an instruction other than to send something.
    pub(super) async fn interrupted(&self) -> Next {
        self.inlet.interrupted().await;
        self.interruption()
    }

    /// Returns the instruction of a queue that gives no message.
    pub(super) fn interruption(&self) -> Next {
        if self.inlet.is_severed() {
            Next::Severed
        } else if self.inlet.is_silent() {
            Next::Silent
        } else {
            Next::TooSlow
        }
    }

    /// Waits until something may be read and sent again.
    pub(super) async fn silence_over(&self) {
        self.inlet.silence_over().await;
    }

    /// Returns the next delivery, if there is one now.
    pub(super) fn ready(&mut self) -> Option<Delivery> {
        self.inlet.ready()
    }

    /// Waits until the session's queue has overflowed, if it does.
    pub(super) async fn cut(&self) {
        self.inlet.cut().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some((user, front)) = &self.welcomed {
            tracing::debug!(session = %self.id, ?user, front = front.label(), "session closed");
        }
        let session = self.id;
        self.hub.closed(match self.end {
            End::Lost => Input::Lost { session },
            End::Closed => Input::Closed { session },
            End::Left => Input::Left { session },
        });
    }
}

/// Explains the reason for a close to people.
pub(super) fn explain(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::TokenExpired => "Your token has expired: connect again with a new one.",
        CloseReason::TooManyConnections => "You have too many connections, or the server has.",
        CloseReason::RateLimited => "You went on sending too many events.",
        CloseReason::ServerShutdown => "The server stops: connect again in a moment.",
        CloseReason::Replaced => "The same user and device connected again.",
        CloseReason::Kicked => "An administrator closed it.",
    }
}

/// Returns the payload of the `error` event with the reason why a connection is closed.
pub(super) fn close_payload(reason: CloseReason) -> ErrorEvent {
    let (code, message) = (EventErrorCode::Closed(reason), explain(reason).into());
    ErrorEvent { event: None, error: EventError { code, message, retry_after_ms: None } }
}
