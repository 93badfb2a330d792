//! A client of the plain WebSocket protocol, from its hello to the end of its connection.

use std::{convert::Infallible, sync::Arc, time::Duration};

use callbox_signaling::{ErrorCode, RequestError, RequestId, jwt::Identity};
use hyper::upgrade::Upgraded;
use tokio_tungstenite::tungstenite::{Error, protocol::frame::coding::CloseCode};

use super::{
    close,
    connection::{Connection, End, MAX_BAD_FRAMES, PING_INTERVAL},
    frames::{self, BadFrame, ClientFrame, SessionHello},
    socket::Heard,
};
use crate::http::{
    app::{App, Phase},
    arrival::Remote,
    counters::Front,
    session::{Next, Session},
    session_queue::Delivery,
    unauthenticated_input::ClientInput,
};

/// The longest time that a client may take to authenticate.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// The first event, with which the client authenticates.
const HELLO: &str = "session:hello";

/// The answer to the hello.
const WELCOME: &str = "session:welcome";

const NO_BINARY: &str = "Frames must be text: one JSON object each.";

/// Serves one connection to its end. `identity` is the client if it has sent a token in a header,
/// and `allowed` is true if its origin may connect.
pub(super) async fn run(
    app: Arc<App>,
    upgraded: Upgraded,
    input: ClientInput,
    remote: Remote,
    identity: Option<Identity>,
    allowed: bool,
) {
    let longest = app.max_message;
    let connection = Connection::new(app, Front::WebSocket, upgraded, longest, input);
    let mut client = Client { connection };
    let end = client.serve(remote, identity, allowed).await;
    // Boxed like the opening: an idle session should use memory only for the future that waits.
    Box::pin(client.connection.end(end)).await;
}

/// One client.
struct Client {
    connection: Connection,
}

impl Client {
    /// Serves the connection and returns the cause of its end.
    async fn serve(&mut self, remote: Remote, identity: Option<Identity>, allowed: bool) -> End {
        match Box::pin(self.open(remote, identity, allowed)).await {
            Ok(mut session) => match self.exchange(&mut session).await {
                Err(end) => end,
                Ok(never) => match never {},
            },
            Err(end) => end,
        }
    }

    /// Serves the connection up to `session:welcome`.
    async fn open(
        &mut self,
        remote: Remote,
        known: Option<Identity>,
        allowed: bool,
    ) -> Result<Session, End> {
        if !allowed {
            return Err(End::Close(close::origin()));
        }
        let draining = self.connection.app().wait_for(Phase::Draining);
        let first = tokio::select! {
            first = tokio::time::timeout(HELLO_TIMEOUT, self.first_frame()) => first,
            () = draining => return Err(End::Close(close::stopping())),
        };
        let frame = first.map_err(|_| End::Close(close::hello_timeout()))??;
        let re = if let ClientFrame::Event { id, .. } = &frame { *id } else { None };
        let (identity, hello) = match check_hello(self.connection.app(), remote, known, frame).await
        {
            Ok(checked) => checked,
            Err(error) => return Err(self.refuse(re, error).await),
        };
        let (front, resume) = (Front::WebSocket, hello.resume());
        let device = hello.device_id;
        let opened =
            Session::open(self.connection.app(), front, remote, identity, device, resume).await;
        let (session, data) = opened.map_err(|reason| End::Close(close::by_hub(reason)))?;
        self.connection.trust();
        self.send(|frame| frames::event(frame, WELCOME, re, &data)).await?;
        Ok(session)
    }

    /// Waits for the first frame that is no control frame.
    async fn first_frame(&mut self) -> Result<ClientFrame, End> {
        loop {
            match self.connection.socket.next(ClientFrame::parse).await {
                Some(Ok(Heard::Text(Ok(frame)))) => return Ok(frame),
                Some(Ok(Heard::Text(Err(bad)))) => {
                    let error = self.bad_frame(bad.error);
                    return Err(self.refuse(bad.id, error).await);
                }
                Some(Ok(Heard::Binary)) => {
                    let error = self.bad_frame(NO_BINARY);
                    return Err(self.refuse(None, error).await);
                }
                Some(Ok(Heard::Close(_))) | None => return Err(End::Gone),
                Some(Ok(Heard::Control)) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Sends the reason why the first frame is refused, in an answer if one was requested, and
    /// returns the end.
    async fn refuse(&mut self, re: Option<RequestId>, error: RequestError) -> End {
        match self.send(|frame| frames::error(frame, re, &error)).await {
            Ok(()) => End::Close(close::refused(&error)),
            Err(error) => error.into(),
        }
    }

    /// Serves the connection from `session:welcome` to the end.
    async fn exchange(&mut self, session: &mut Session) -> Result<Infallible, End> {
        let mut ping = tokio::time::interval(PING_INTERVAL);
        ping.reset();
        let mut heard = true;
        let mut bad_frames = 0;
        loop {
            tokio::select! {
                next = session.next() => match next {
                    Next::Send(delivery) => self.deliver_all(session, delivery).await?,
                    Next::TooSlow => return Err(End::Close(close::too_slow())),
                    Next::Severed => return Err(End::Severed),
                    Next::Silent => {
                        session.silence_over().await;
                        heard = true;
                        ping.reset();
                    }
                },
                message = self.connection.socket.next(ClientFrame::parse) => {
                    heard = true;
                    let message = message.ok_or(End::Gone)??;
                    if !self.take(session, message).await? {
                        bad_frames += 1;
                        if bad_frames > MAX_BAD_FRAMES {
                            return Err(End::Close(close::bad_frames()));
                        }
                    }
                }
                _ = ping.tick() => {
                    if !std::mem::take(&mut heard) {
                        return Err(End::Gone);
                    }
                    self.connection.ping(session).await?;
                }
            }
        }
    }

    /// Hands a message to the session. Returns true if it was a valid frame.
    async fn take(
        &mut self,
        session: &mut Session,
        heard: Heard<Result<ClientFrame, BadFrame>>,
    ) -> Result<bool, End> {
        let error = match heard {
            Heard::Text(Ok(ClientFrame::Event { event, id, data })) => {
                session.request(self.connection.app(), id, event, data).await;
                return Ok(true);
            }
            Heard::Text(Ok(ClientFrame::Ack(seq))) => {
                session.acknowledge(seq).await;
                return Ok(true);
            }
            Heard::Text(Err(bad)) => (bad.id, bad.error),
            Heard::Binary => (None, NO_BINARY),
            Heard::Close(frame) => {
                match frame.map_or(CloseCode::Status, |frame| frame.code) {
                    CloseCode::Normal => session.leave(),
                    // Without a code, and when its page is left, it does not come back for this
                    // session. The page may come back for its calls.
                    CloseCode::Away | CloseCode::Status => session.close(),
                    _ => {}
                }
                return Err(End::Gone);
            }
            Heard::Control => return Ok(true),
        };
        let (id, message) = error;
        let error = self.bad_frame(message);
        self.connection.socket.feed(|frame| frames::error(frame, id, &error))?;
        self.connection.flush(session).await?;
        Ok(false)
    }

    /// Sends a delivery and those that wait behind it, so that they leave together: a system call
    /// costs more than writing a frame.
    async fn deliver_all(&mut self, session: &mut Session, first: Delivery) -> Result<(), End> {
        let mut next = Some(first);
        while let Some(delivery) = next {
            if self.connection.socket.is_full() {
                self.connection.flush(session).await?;
            }
            let socket = &mut self.connection.socket;
            match delivery {
                Delivery::Event(event, seq) => {
                    socket.feed(|frame| frames::numbered(frame, event.name, seq, &event.data))
                }
                Delivery::Answer(id, answer) => {
                    socket.feed(|frame| frames::answer(frame, id, &answer.0))
                }
                // The session has returned it when it opened, and there is only one.
                Delivery::Welcome(data) => {
                    socket.feed(|frame| frames::event(frame, WELCOME, None, &data))
                }
                Delivery::Close(reason) => return Err(End::Close(close::by_hub(reason))),
            }?;
            next = session.ready();
        }
        self.connection.flush(session).await
    }

    /// Sends one message before there is a session.
    async fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.connection.socket.feed(write)?;
        match tokio::time::timeout(HELLO_TIMEOUT, self.connection.socket.flush()).await {
            Ok(sent) => sent,
            Err(_) => Err(Error::ConnectionClosed),
        }
    }

    fn bad_frame(&self, message: &str) -> RequestError {
        self.connection.app().counters.bad_frames(Front::WebSocket).add();
        self.connection.app().refuse(ErrorCode::InvalidFrame, message)
    }
}

/// Authenticates a client by its first frame.
async fn check_hello(
    app: &App,
    remote: Remote,
    known: Option<Identity>,
    frame: ClientFrame,
) -> Result<(Identity, SessionHello), RequestError> {
    let data = match frame {
        ClientFrame::Event { event, data, .. } if event == HELLO => data,
        _ => {
            let message = "The first frame must be session:hello.";
            return Err(app.refuse(ErrorCode::Unauthorized, message));
        }
    };
    let mut hello =
        SessionHello::parse(&data).inspect_err(|error| app.counters.errors(error.code).add())?;
    let identity = match (hello.token.take(), known) {
        (Some(token), _) => app.authenticate(remote, &token).await?,
        (None, Some(identity)) => identity,
        (None, None) => {
            let message = "session:hello needs a `token`, or the connection a header with it.";
            return Err(app.refuse(ErrorCode::Unauthorized, message));
        }
    };
    Ok((identity, hello))
}
