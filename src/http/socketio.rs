//! The Socket.IO front, at `/socket.io/`: the same session as a plain WebSocket's in the framing
//! of Socket.IO v4, so that an unmodified `socket.io-client` works.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::Router;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::{
    ParserConfig, SendError, SocketError, SocketIo,
    adapter::Adapter,
    extract::{AckSender, SocketRef, TryData},
    handler::{ConnectHandler, FromMessageParts, Value as Packet},
    service::SocketIoService,
    socket::{DisconnectReason, Socket},
};
use tokio::sync::{Notify, mpsc};

use super::{
    app::App,
    counters::Front,
    gate::EndedSockets,
    outbox::Delivery,
    rest,
    service::Remote,
    session::{Next, Session, close_payload},
};
use crate::{
    ids::DeviceId,
    signaling::{CloseReason, ErrorCode, RequestError, RequestId, Resume},
};

/// How long a client may take to say who it is.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Events that wait to be handed to the hub. The layer below cannot be made to wait.
const INBOX: usize = 256;

/// Packets that wait for the connection.
const OUTBOX: usize = 256;

/// How long a client that is told of its flood may take to hear it. The layer below ends the
/// transport as soon as something comes in for a socket that is disconnected.
const LINGER: Duration = Duration::from_secs(1);

/// Makes the service for `/socket.io/`, and the handle that closes it.
pub(super) fn service(
    app: Arc<App>,
    ended: Arc<EndedSockets>,
) -> (SocketIoService<Router>, SocketIo) {
    let max_message = app.max_message;
    let (service, io) = SocketIo::builder()
        .max_payload(max_message as u64)
        .ws_max_message_size(max_message)
        .ws_max_frame_size(max_message)
        .max_buffer_size(OUTBOX)
        .connect_timeout(CONNECT_TIMEOUT)
        .with_parser(
            // Binary attachments are refused; these are the limits while they come in.
            ParserConfig::common()
                .max_incoming_binaries(8)
                .max_incoming_binary_buf_size(max_message)
                .packet_completion_timeout(CONNECT_TIMEOUT),
        )
        .build_with_inner_svc(Router::new().fallback(rest::not_found));
    let authenticate = {
        let (app, ended) = (app.clone(), ended.clone());
        move |socket: SocketRef, auth: TryData<Auth>| {
            open(app.clone(), ended.clone(), socket, auth.0.ok())
        }
    };
    let connected = move |socket: SocketRef| {
        let (app, ended) = (app.clone(), ended.clone());
        async move {
            if let Some(opened) = socket.extensions.remove::<Opened>().and_then(|o| o.take()) {
                run(app, ended, socket, opened).await;
            }
        }
    };
    io.ns("/", connected.with(authenticate));
    (service, io)
}

/// What `io(url, { auth })` sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    token: Option<String>,
    device_id: Option<DeviceId>,
}

/// A session on its way from the check of the token to the connected socket. If that never comes
/// to be, it is dropped with the socket.
#[derive(Clone)]
struct Opened(Arc<Mutex<Option<Parts>>>);

struct Parts {
    session: Session,
    welcome: Value,
    inbox: mpsc::Receiver<Inbound>,
    ends: Arc<Ends>,
}

/// What ends a session from the client's side.
#[derive(Default)]
struct Ends {
    /// The client is gone.
    gone: Notify,
    /// It sends faster than the hub takes it.
    flooded: Notify,
}

impl Opened {
    fn take(&self) -> Option<Parts> {
        self.0.lock().expect("taking does not panic").take()
    }
}

/// An event of the client.
struct Inbound {
    event: String,
    data: Result<Value, &'static str>,
    ack: Option<AckSender>,
}

/// Checks the token and opens the session, before the client is told that it is connected. The
/// error is the `message` of its `connect_error`: a code, then a colon and words for a person.
async fn open(
    app: Arc<App>,
    ended: Arc<EndedSockets>,
    socket: SocketRef,
    auth: Option<Auth>,
) -> Result<(), RequestError> {
    let auth = auth.ok_or_else(|| {
        app.refuse(ErrorCode::InvalidPayload, "`auth` must be { token, deviceId? }, both text.")
    })?;
    let token =
        auth.token.ok_or_else(|| app.refuse(ErrorCode::Unauthorized, "`auth` needs a `token`."))?;
    let remote = socket.req_parts().extensions.get::<Remote>().copied();
    // Every request comes by a connection, and the gate has looked at its address before.
    let remote = remote.ok_or_else(|| app.refuse(ErrorCode::InvalidPayload, "No address."))?;
    let identity = app.authenticate(remote, &token).await?;
    let (front, device) = (Front::SocketIo, auth.device_id);
    let opened = Session::open(&app, front, remote, identity, device, Resume::Never).await;
    let (session, welcome) = opened.map_err(|reason| {
        let code = match reason {
            CloseReason::TokenExpired => ErrorCode::TokenExpired,
            CloseReason::TooManyConnections => ErrorCode::TooManyConnections,
            CloseReason::RateLimited => ErrorCode::RateLimited,
            CloseReason::ServerShutdown | CloseReason::Replaced | CloseReason::Kicked => {
                ErrorCode::ServerShutdown
            }
        };
        app.refuse(code, super::session::explain(reason))
    })?;
    let (sender, inbox) = mpsc::channel(INBOX);
    let ends = Arc::new(Ends::default());
    // The handlers are there before the client can know that it is connected.
    listen(&app, &socket, sender, &ends);
    ended.remove(socket.id);
    let parts = Parts { session, welcome, inbox, ends };
    socket.extensions.insert(Opened(Arc::new(Mutex::new(Some(parts)))));
    Ok(())
}

/// Takes whatever the client sends.
///
/// The layer below runs the futures of handlers as tasks of their own, in no order; the calls that
/// make these futures come in order. So all is done in the call, and there is nothing left to run.
fn listen(app: &Arc<App>, socket: &SocketRef, inbox: mpsc::Sender<Inbound>, ends: &Arc<Ends>) {
    let flooded = ends.clone();
    socket.on_fallback(move |frame: Frame, ack: AckSender| {
        let ack = frame.wants_ack.then_some(ack);
        let inbound = Inbound { event: frame.event, data: frame.data, ack };
        if let Err(mpsc::error::TrySendError::Full(_)) = inbox.try_send(inbound) {
            flooded.flooded.notify_one();
        }
        std::future::ready(())
    });
    let (app, ends) = (app.clone(), ends.clone());
    socket.on_disconnect(move |reason: DisconnectReason| {
        if reason == DisconnectReason::PacketParsingError {
            app.counters.bad_frames(Front::SocketIo).add();
        }
        ends.gone.notify_one();
        std::future::ready(())
    });
}

/// An event with its first argument.
struct Frame {
    event: String,
    data: Result<Value, &'static str>,
    wants_ack: bool,
}

impl<A: Adapter> FromMessageParts<A> for Frame {
    type Error = std::convert::Infallible;

    fn from_message_parts(
        _: &Arc<Socket<A>>,
        packet: &mut Packet,
        ack: &Option<i64>,
    ) -> Result<Self, Self::Error> {
        let (event, data) = read(packet);
        Ok(Self { event, data, wants_ack: ack.is_some() })
    }
}

/// Reads `["event", data, …]`.
fn read(packet: &Packet) -> (String, Result<Value, &'static str>) {
    let (text, binaries) = match packet {
        Packet::Str(text, binaries) => (text.as_str(), binaries.as_ref().map_or(0, |b| b.len())),
        Packet::Bytes(_) => ("[]", 1),
    };
    // The layer below looks for the name only; what cannot be read is mostly nested too deeply.
    let Ok(arguments) = serde_json::from_str::<Vec<Value>>(text) else {
        return (String::new(), Err("The event is not JSON, or is nested too deeply."));
    };
    let mut arguments = arguments.into_iter();
    let event = match arguments.next() {
        Some(Value::String(event)) => event,
        _ => String::new(),
    };
    let data = match binaries {
        0 => Ok(arguments.next().unwrap_or_default()),
        _ => Err("The payload must be JSON, without binary attachments."),
    };
    (event, data)
}

/// Serves one socket to its end.
async fn run(app: Arc<App>, ended: Arc<EndedSockets>, socket: SocketRef, parts: Parts) {
    let Parts { mut session, welcome, mut inbox, ends } = parts;
    let mut running = Running { app: &app, socket: &socket, acks: HashMap::new(), next_ack: 0 };
    let (mut flooded, mut stopping) = (false, false);
    if running.emit("session:welcome", &welcome).is_ok() {
        loop {
            tokio::select! {
                next = session.next() => match next {
                    Next::Send(delivery) => {
                        stopping = matches!(delivery, Delivery::Close(CloseReason::ServerShutdown));
                        if running.deliver(delivery).is_err() { break }
                    }
                    Next::TooSlow => break,
                },
                Some(inbound) = inbox.recv() => running.forward(&session, inbound).await,
                () = ends.flooded.notified() => {
                    running.app.counters.errors(ErrorCode::RateLimited).add();
                    let _ = running.deliver(Delivery::Close(CloseReason::RateLimited));
                    flooded = true;
                    break;
                }
                () = ends.gone.notified() => break,
            }
        }
    }
    // What it sent before it went still counts, such as `call:end`.
    while let Ok(inbound) = inbox.try_recv() {
        running.forward(&session, inbound).await;
    }
    drop((session, inbox));
    // A socket whose queue is full cannot be told; its next ping will not fit either, and then the
    // layer below ends it.
    ended.add(socket.id, Instant::now());
    if flooded {
        let _ = tokio::time::timeout(LINGER, ends.gone.notified()).await;
    }
    // A client whose socket is disconnected by the server stays away; one whose transport is closed,
    // as is done with all when the server stops, comes back by itself.
    if !stopping {
        let _ = socket.disconnect();
    }
}

struct Running<'a> {
    app: &'a App,
    socket: &'a SocketRef,
    /// The client's callbacks that wait for the hub's answers.
    acks: HashMap<RequestId, AckSender>,
    next_ack: u64,
}

/// There is nobody left to talk to.
struct Ended;

impl Running<'_> {
    async fn forward(&mut self, session: &Session, inbound: Inbound) {
        match inbound.data {
            Ok(data) => {
                let id = inbound.ack.map(|ack| {
                    self.next_ack += 1;
                    let id = RequestId(self.next_ack);
                    self.acks.insert(id, ack);
                    id
                });
                session.request(self.app, id, inbound.event, data).await;
            }
            Err(message) => {
                self.app.counters.bad_frames(Front::SocketIo).add();
                let error = self.app.refuse(ErrorCode::InvalidPayload, message);
                // If this does not arrive, the next delivery will find out.
                let _ = match inbound.ack {
                    Some(ack) => ack.send(&error.answer().0).map_err(|_| Ended),
                    None => {
                        let event = error.event(
                            Some(&inbound.event)
                                .filter(|name| !name.is_empty())
                                .map(String::as_str),
                        );
                        self.emit(event.name, &*event.data)
                    }
                };
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery) -> Result<(), Ended> {
        match delivery {
            Delivery::Event(event, _) => self.emit(event.name, &*event.data),
            Delivery::Answer(id, answer) => match self.acks.remove(&id) {
                Some(ack) => self.sent(ack.send(&answer.0)),
                None => Ok(()),
            },
            Delivery::Close(reason) => {
                let _ = self.emit("error", &close_payload(reason));
                Err(Ended)
            }
            // The session gives it out when it opens, and once only.
            Delivery::Welcome(_) => Ok(()),
        }
    }

    fn emit(&self, event: &str, data: &impl Serialize) -> Result<(), Ended> {
        self.sent(self.socket.emit(event, data))
    }

    fn sent(&self, result: Result<(), SendError>) -> Result<(), Ended> {
        if let Err(SendError::Socket(SocketError::InternalChannelFull)) = result {
            self.app.counters.slow_sessions.add();
        }
        result.map_err(|_| Ended)
    }
}
