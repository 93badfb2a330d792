//! A WebSocket connection, for both protocols: its limits of time and its end.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use callbox_signaling::ErrorCode;
use hyper::upgrade::Upgraded;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};

use super::{
    close,
    socket::Socket,
    transport::{self, Transport},
};
use crate::http::{
    app::App,
    counters::Front,
    session::{Next, Session},
    unauthenticated_input::ClientInput,
};

/// The interval at which a client is pinged, and the longest time that it may be silent.
pub(in crate::http) const PING_INTERVAL: Duration = Duration::from_secs(25);

/// The longest time that sending one message may take.
pub(in crate::http) const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest time that a client may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of bytes of an oversized message that are read and discarded, so that its sender
/// receives the close.
const MAX_DISCARD: u64 = 4 * 1024 * 1024;

/// The number of invalid frames after which the connection is closed.
pub(in crate::http) const MAX_BAD_FRAMES: usize = 32;

/// The way in which a connection ends.
pub(in crate::http) enum End {
    /// With this close frame.
    Close(CloseFrame),
    /// The client has sent a close, or is gone.
    Gone,
    /// By an error of the WebSocket layer.
    Error(Error),
    /// Without a word.
    Severed,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A WebSocket, with the code that both protocols share.
pub(in crate::http) struct Connection {
    app: Arc<App>,
    front: Front,
    pub socket: Socket<Transport>,
    input: ClientInput,
}

impl Connection {
    /// Creates a connection after its upgrade. A message of more than `longest` bytes ends it.
    pub(crate) fn new(
        app: Arc<App>,
        front: Front,
        upgraded: Upgraded,
        longest: usize,
        input: ClientInput,
    ) -> Self {
        input.count(&app.request_memory);
        let (transport, read) = transport::take_over(upgraded);
        let socket = Socket::new(transport, read, longest);
        Self { app, front, socket, input }
    }

    /// Records that the client has authenticated.
    pub(crate) fn trust(&mut self) {
        self.input.trust();
        transport::trust(self.socket.stream_mut());
    }

    /// Returns the app.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// Sends the frames that wait, within the limits of [`within`].
    pub(crate) async fn flush(&mut self, session: &Session) -> Result<(), End> {
        within(&self.app, session, self.socket.flush()).await
    }

    /// Sends a ping, within the limits of [`within`].
    pub(crate) async fn ping(&mut self, session: &Session) -> Result<(), End> {
        let ping = self.socket.send(Message::Ping(Default::default()));
        within(&self.app, session, ping).await
    }

    /// Sends the reason, and waits a little until the client has received it: a socket that is
    /// closed while the other side still sends discards what it has not delivered.
    pub(crate) async fn end(mut self, end: End) {
        let frame = match end {
            End::Close(frame) => Some(frame),
            End::Gone => None,
            End::Severed => return,
            End::Error(error) => {
                let frame = close::by_error(&error, self.app.max_message);
                if frame.is_some() {
                    self.app.counters.bad_frames(self.front).add();
                }
                if matches!(error, Error::Capacity(_)) {
                    self.app.counters.errors(ErrorCode::PayloadTooLarge).add();
                }
                let Some(frame) = frame else { return };
                // The bytes that follow are the rest of something that could not be parsed.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.close_raw(frame)).await;
                return;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, async {
            // If the client has begun, this sends the answer to its close.
            let _ = self.socket.close(frame).await;
            while let Some(Ok(_)) = self.socket.next(|_| ()).await {}
        })
        .await;
    }

    async fn close_raw(&mut self, frame: CloseFrame) {
        let _ = self.socket.close(Some(frame)).await;
        self.socket.shut_down(MAX_DISCARD).await;
    }
}

/// Sends, with the limit of the time that a client may take to read, and not beyond the end of its
/// session.
pub(in crate::http) async fn within(
    app: &App,
    session: &Session,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), End> {
    let mut sending = pin!(sending);
    // Nearly always there is room in the socket: no need to wait, nor to start a timer.
    if let Poll::Ready(sent) = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await {
        return Ok(sent?);
    }
    tokio::select! {
        sent = tokio::time::timeout(SEND_TIMEOUT, sending) => match sent {
            Ok(sent) => Ok(sent?),
            Err(_) => {
                // An overflow of the queue has been counted by the hub.
                app.counters.slow_sessions.add();
                Err(End::Close(close::too_slow()))
            }
        },
        () = session.cut() => match session.interruption() {
            Next::Severed => Err(End::Severed),
            _ => Err(End::Close(close::too_slow())),
        },
    }
}
