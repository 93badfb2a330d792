//! A client whose packets are sent over a WebSocket, one packet per frame.

use std::{convert::Infallible, time::Duration};

use callbox_signaling::CloseReason;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Error, protocol::frame::coding::CloseCode};

use super::{
    client::{Client, End},
    engine,
    heartbeat::{Beat, Heartbeat},
};
use crate::http::{
    app::Phase,
    session::Next,
    session_queue::Delivery,
    ws::{
        close,
        connection::{self, Connection, SEND_TIMEOUT, within},
        socket::Heard,
    },
};

/// The longest time that sending the last packets may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves a client to its end. `out` has the packets that are sent first.
pub(super) async fn run(client: Client, connection: Connection, out: Vec<String>) {
    let mut served = Served { client, connection, out };
    let Err(end) = served.serve().await;
    // Boxed: an idle client should use memory only for the future that waits.
    Box::pin(served.end(end)).await;
}

struct Served {
    client: Client,
    connection: Connection,
    /// Packets that wait to be sent.
    out: Vec<String>,
}

/// The cause of the end: the client or the hub, or the connection.
enum Broken {
    Client(End),
    Connection(connection::End),
}

impl From<End> for Broken {
    fn from(end: End) -> Self {
        Self::Client(end)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Connection(connection::End::Error(error))
    }
}

impl From<connection::End> for Broken {
    fn from(end: connection::End) -> Self {
        Self::Connection(end)
    }
}

impl Served {
    async fn serve(&mut self) -> Result<Infallible, Broken> {
        loop {
            Box::pin(self.sign_in()).await?;
            self.connection.trust();
            self.exchange().await?;
        }
    }

    /// Serves the client until it has a session.
    async fn sign_in(&mut self) -> Result<(), Broken> {
        let begun = self.client.begin(&mut self.out).await;
        self.flush().await?;
        begun?;
        let mut draining = std::pin::pin!(self.client.app().wait_for(Phase::Draining));
        while let Some(by) = self.client.connect_by() {
            tokio::select! {
                message = timeout_at(by, self.connection.socket.next(str::to_owned)) => {
                    self.take(message.map_err(|_| End::Gone)?).await?;
                }
                () = draining.as_mut() => {
                    return Err(End::Closed(CloseReason::ServerShutdown).into());
                }
            }
        }
        Ok(())
    }

    /// Serves the session until the client leaves the namespace.
    async fn exchange(&mut self) -> Result<(), Broken> {
        let mut heartbeat = Heartbeat::new(self.client.revision(), Instant::now());
        let mut timer = std::pin::pin!(sleep_until(heartbeat.due()));
        while self.client.session().is_some() {
            tokio::select! {
                next = self.client.next() => match next {
                    Next::Send(delivery) => self.deliver_all(delivery).await?,
                    Next::TooSlow => return Err(End::TooSlow.into()),
                    Next::Severed => return Err(connection::End::Severed.into()),
                    Next::Silent => {
                        self.client.silence_over().await;
                        heartbeat = Heartbeat::new(self.client.revision(), Instant::now());
                        timer.as_mut().reset(heartbeat.due());
                    }
                },
                message = self.connection.socket.next(str::to_owned) => {
                    heartbeat.hear(Instant::now());
                    self.take(message).await?;
                }
                () = timer.as_mut() => {
                    let now = Instant::now();
                    if heartbeat.due() <= now {
                        match heartbeat.beat(now) {
                            Beat::Ping => self.out.push(engine::PING.to_owned()),
                            Beat::Gone => return Err(End::Gone.into()),
                        }
                        self.flush().await?;
                    }
                    timer.as_mut().reset(heartbeat.due());
                }
            }
            // A message makes the heartbeat due later: the timer fires early then and is set again.
            // Only a ping makes it due sooner, and the timer is set with it.
        }
        Ok(())
    }

    async fn take(&mut self, message: Option<Result<Heard<String>, Error>>) -> Result<(), Broken> {
        let taken = match message.ok_or(connection::End::Gone)?? {
            Heard::Text(text) => self.client.take(&text, &mut self.out).await,
            Heard::Binary => self.client.binary(&mut self.out),
            Heard::Close(frame) => {
                // Some clients close this way without sending their packet before.
                if frame.is_some_and(|frame| frame.code == CloseCode::Normal) {
                    self.client.leave();
                }
                return Err(connection::End::Gone.into());
            }
            Heard::Control => return Ok(()),
        };
        if !self.out.is_empty() {
            self.flush().await?;
        }
        Ok(taken?)
    }

    /// Sends a delivery and those that wait behind it, so that they leave together.
    async fn deliver_all(&mut self, first: Delivery) -> Result<(), Broken> {
        let (mut next, mut ended) = (Some(first), Ok(()));
        while let Some(delivery) = next {
            match self.client.packet(delivery) {
                Ok(text) => self.feed(text).await?,
                Err(end) => {
                    ended = Err(end);
                    break;
                }
            }
            next = self.client.ready();
        }
        self.flush().await?;
        Ok(ended?)
    }

    async fn feed(&mut self, text: String) -> Result<(), Broken> {
        let socket = &mut self.connection.socket;
        if socket.is_full() {
            send(&self.client, socket.flush()).await?;
        }
        Ok(socket.feed(|frame| frame.extend_from_slice(text.as_bytes()))?)
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        for text in std::mem::take(&mut self.out) {
            self.feed(text).await?;
        }
        send(&self.client, self.connection.socket.flush()).await
    }

    async fn end(self, end: Broken) {
        let Self { client, mut connection, .. } = self;
        let app = client.app().clone();
        // The hub is told of the end now, and not once the client is.
        drop(client);
        let end = match end {
            Broken::Connection(end) => end,
            Broken::Client(end) => {
                let telling = async {
                    let socket = &mut connection.socket;
                    for packet in end.farewell(&app) {
                        socket.feed(|frame| frame.extend_from_slice(packet.as_bytes()))?;
                    }
                    socket.flush().await
                };
                // A client that cannot be told anything is closed as well.
                let _ = timeout(FAREWELL, telling).await;
                match end {
                    End::Gone => connection::End::Gone,
                    End::Closed(reason) => connection::End::Close(close::by_hub(reason)),
                    End::TooSlow => connection::End::Close(close::too_slow()),
                    End::NoPacket => connection::End::Close(close::no_packet()),
                    End::BadFrames => connection::End::Close(close::bad_frames()),
                    End::TooLong => connection::End::Close(close::too_long(app.max_message)),
                }
            }
        };
        connection.end(end).await;
    }
}

/// Sends, with the limit of the time that a client may take to read.
async fn send(
    client: &Client,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), Broken> {
    match client.session() {
        Some(session) => Ok(within(client.app(), session, sending).await?),
        None => match timeout(SEND_TIMEOUT, sending).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::TooSlow.into()),
        },
    }
}
