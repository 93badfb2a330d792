//! A client of Socket.IO, independent of its transport: the handling of its packets, and the
//! packets that it is sent.

mod end;
mod handshake;
mod sign_in;

use std::{sync::Arc, time::Duration};

use callbox_signaling::{CloseReason, ErrorCode, RequestError, RequestId};
use tokio::time::Instant;

use self::sign_in::SignIn;
pub(super) use self::{end::End, handshake::Handshake};
use super::{
    engine::{self, Revision},
    packet::{self, BadEvent, Packet},
};
use crate::http::{
    app::App,
    counters::Front,
    session::{Next, Session},
    session_queue::Delivery,
    ws::connection::MAX_BAD_FRAMES,
};

/// The longest time that a client may take to authenticate.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The factor by which a message may exceed the limit and is still read, so that its sender can be
/// told of the limit.
const LONGEST: usize = 4;

/// The longest message that is read, in bytes.
pub(super) fn longest(app: &App) -> usize {
    app.max_message.saturating_mul(LONGEST)
}

/// One client.
pub(super) struct Client {
    app: Arc<App>,
    handshake: Handshake,
    session: Option<Session>,
    /// The time by which it must authenticate, as long as it has no session.
    connect_by: Instant,
    bad_frames: usize,
    /// True once [`Client::begin`] has been called.
    begun: bool,
    /// The number of binary frames that follow for an event that was refused.
    attachments: u64,
}

impl Client {
    /// Creates a client that has not authenticated.
    pub(super) fn new(app: Arc<App>, handshake: Handshake) -> Self {
        let connect_by = Instant::now() + CONNECT_TIMEOUT;
        Self {
            app,
            handshake,
            session: None,
            connect_by,
            bad_frames: 0,
            begun: false,
            attachments: 0,
        }
    }

    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    pub(super) fn revision(&self) -> Revision {
        self.handshake.revision
    }

    /// Returns its session, once it has one.
    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Returns the time by which it must authenticate, if it has not.
    pub(super) fn connect_by(&self) -> Option<Instant> {
        self.session.is_none().then_some(self.connect_by)
    }

    /// Closes its session: the client leaves, and leaves its calls.
    pub(super) fn leave(&mut self) {
        if let Some(mut session) = self.session.take() {
            session.leave();
        }
    }

    /// Closes its session, as one whose connection is lost unless the client has closed it
    /// explicitly.
    pub(super) fn close(&mut self) {
        self.session = None;
    }

    /// Connects a client of protocol 4 of Socket.IO, which sends no packet to connect, before it
    /// sends anything. This happens once, on the transport that the client begins with.
    pub(super) async fn begin(&mut self, out: &mut Vec<String>) -> Result<(), End> {
        if !std::mem::replace(&mut self.begun, true) && self.revision() == Revision::Three {
            Box::pin(self.connect("", out)).await?;
        }
        Ok(())
    }

    /// Handles a packet; the answers are added to `out`.
    pub(super) async fn take(&mut self, text: &str, out: &mut Vec<String>) -> Result<(), End> {
        match engine::Packet::parse(text).map_err(|_| self.no_packet())? {
            engine::Packet::Message(content) => self.message(content, out).await,
            engine::Packet::Ping(content) => {
                out.push(format!("3{content}"));
                Ok(())
            }
            engine::Packet::Binary => self.binary(out),
            engine::Packet::Close => {
                // A page that is left sends it as well, and may be loaded again.
                if let Some(session) = &mut self.session {
                    session.close();
                }
                Err(End::Gone)
            }
            engine::Packet::Pong | engine::Packet::Noop | engine::Packet::Upgrade => Ok(()),
        }
    }

    /// Handles a binary frame.
    pub(super) fn binary(&mut self, out: &mut Vec<String>) -> Result<(), End> {
        if self.attachments > 0 {
            self.attachments -= 1;
            return Ok(());
        }
        self.refuse_event(None, None, ErrorCode::InvalidPayload, NO_BINARY, out)
    }

    async fn message(&mut self, content: &str, out: &mut Vec<String>) -> Result<(), End> {
        let is_too_long = content.len() > self.app.max_message;
        let packet = Packet::parse(content).map_err(|_| self.no_packet())?;
        match (packet, &self.session) {
            (Packet::Event { ack, arguments }, Some(session)) if !is_too_long => {
                match packet::arguments(arguments) {
                    Ok((event, data)) => {
                        session.request(&self.app, ack.map(RequestId), event, data).await;
                        Ok(())
                    }
                    Err(BadEvent { name, message }) => {
                        self.refuse_event(ack, name, ErrorCode::InvalidPayload, message, out)
                    }
                }
            }
            (Packet::Event { ack, arguments }, Some(_)) => self.too_long(ack, arguments, out),
            (Packet::BinaryEvent { ack, arguments, attachments }, Some(_)) => {
                self.attachments = attachments;
                if is_too_long {
                    return self.too_long(ack, arguments, out);
                }
                let name = packet::event_name(arguments);
                self.refuse_event(ack, name, ErrorCode::InvalidPayload, NO_BINARY, out)
            }
            (Packet::Ignored(attachments), _) => {
                self.attachments = attachments;
                Ok(())
            }
            (Packet::Disconnect, Some(_)) => {
                self.leave();
                // The transport stays open; the client may connect again, as in the beginning.
                self.connect_by = Instant::now() + CONNECT_TIMEOUT;
                Ok(())
            }
            (Packet::Disconnect, None) => Ok(()),
            (Packet::ConnectElsewhere(name), _) => {
                out.push(packet::no_namespace(name));
                Ok(())
            }
            (Packet::Connect(auth), None) if !is_too_long => {
                Box::pin(self.connect(auth, out)).await
            }
            (Packet::Connect(_), None) => {
                let error = self.app.refuse(ErrorCode::PayloadTooLarge, self.limit());
                out.push(self.refused(&error));
                Ok(())
            }
            // It is connected already, or not connected to a namespace.
            (Packet::Connect(_), Some(_))
            | (Packet::Event { .. } | Packet::BinaryEvent { .. }, None) => Err(self.no_packet()),
        }
    }

    /// Connects the client, or sends the reason why not; it may try again then.
    async fn connect(&mut self, auth: &str, out: &mut Vec<String>) -> Result<(), End> {
        if self.app.is_draining() {
            return Err(End::Closed(CloseReason::ServerShutdown));
        }
        match SignIn::open(&self.app, &self.handshake, auth).await {
            Ok(sign_in) => {
                out.push(sign_in.connected(self.revision()));
                out.push(packet::event(WELCOME, &sign_in.welcome));
                self.session = Some(sign_in.session);
            }
            Err(error) => out.push(self.refused(&error)),
        }
        Ok(())
    }

    /// Returns the packet that refuses a connection: a code, then a colon and a text for people.
    fn refused(&self, error: &RequestError) -> String {
        match self.revision() {
            Revision::Three => packet::refused_before(&error.to_string()),
            Revision::Four => packet::refused(&error.to_string()),
        }
    }

    /// Counts a text that is no packet, or one that is not permitted now.
    pub(super) fn no_packet(&self) -> End {
        self.app.counters.bad_frames(Front::SocketIo).add();
        self.app.counters.errors(ErrorCode::InvalidFrame).add();
        End::NoPacket
    }

    fn limit(&self) -> String {
        format!("A message may have {} bytes.", self.app.max_message)
    }

    /// Refuses an event that is longer than a message may be; only its name is read.
    fn too_long(
        &mut self,
        ack: Option<u64>,
        arguments: &str,
        out: &mut Vec<String>,
    ) -> Result<(), End> {
        let (name, limit) = (packet::event_name(arguments), self.limit());
        self.refuse_event(ack, name, ErrorCode::PayloadTooLarge, &limit, out)
    }

    /// Refuses an event that is not passed to the hub.
    fn refuse_event(
        &mut self,
        ack: Option<u64>,
        name: Option<String>,
        code: ErrorCode,
        message: &str,
        out: &mut Vec<String>,
    ) -> Result<(), End> {
        self.app.counters.bad_frames(Front::SocketIo).add();
        let error = self.app.refuse(code, message);
        out.push(match ack {
            Some(id) => packet::ack(id, &error.answer().0),
            None => {
                let event = error.event(name.as_deref());
                packet::event(event.name, &event.data)
            }
        });
        self.bad_frames += 1;
        if self.bad_frames > MAX_BAD_FRAMES { Err(End::BadFrames) } else { Ok(()) }
    }

    /// Waits for something to send; for ever while there is no session. May be cancelled without
    /// loss.
    pub(super) async fn next(&mut self) -> Next {
        match &mut self.session {
            Some(session) => session.next().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the next delivery, if there is one now.
    pub(super) fn ready(&mut self) -> Option<Delivery> {
        self.session.as_mut()?.ready()
    }

    /// Waits until a silence of its session is over.
    pub(super) async fn silence_over(&self) {
        if let Some(session) = &self.session {
            session.silence_over().await;
        }
    }

    /// Waits for an instruction other than to send something.
    pub(super) async fn interrupted(&self) -> Next {
        match &self.session {
            Some(session) => session.interrupted().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the packet for a delivery, or the end that it causes.
    pub(super) fn packet(&self, delivery: Delivery) -> Result<String, End> {
        match delivery {
            Delivery::Event(event, _) => Ok(packet::event(event.name, &event.data)),
            Delivery::Answer(id, answer) => Ok(packet::ack(id.0, &answer.0)),
            // The session returns it when it opens, and only once.
            Delivery::Welcome(data) => Ok(packet::event(WELCOME, &data)),
            Delivery::Close(reason) => Err(End::Closed(reason)),
        }
    }
}

/// The first event.
const WELCOME: &str = "session:welcome";

const NO_BINARY: &str = "The payload must be JSON, without binary attachments.";
