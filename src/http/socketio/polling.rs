//! A client that polls: it fetches packets with GET, which waits until there are some, and sends
//! packets with POST. A task owns the client; the requests reach it as commands.

use std::time::Duration;

use callbox_signaling::CloseReason;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    client::{Client, End},
    engine,
    heartbeat::{Beat, Heartbeat},
    websocket,
};
use crate::http::{app::Phase, session::Next, ws::connection::Connection};

/// The number of commands that wait for the task; the senders of more wait.
pub(super) const COMMANDS: usize = 4;

/// The number of bytes after which no more packets are added to the answer to one poll.
const FULL: usize = 64 * 1024;

/// The largest number of packets that may wait for a request; a client with more does not fetch
/// them. Each is short, or counted in [`FULL`].
const MAX_WAITING: usize = 1024;

/// The number of packets of a POST after which the session's queue is emptied.
const COLLECT_EVERY: usize = 64;

/// The longest time that a client may take to fetch its last packets.
const FAREWELL: Duration = Duration::from_secs(5);

/// A command of a request to the task of a client.
pub(super) enum Command {
    /// Return the packets that wait, or the next ones.
    Poll(oneshot::Sender<Reply>),
    /// Handle these packets.
    Post(String, oneshot::Sender<Reply>),
    /// End the client: a POST could not be read.
    End(End),
    /// The client tries a WebSocket.
    Probe,
    /// The client no longer tries a WebSocket.
    GiveUp,
    /// Switch the client to this WebSocket.
    Upgrade(Box<Connection>),
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// These packets, or `ok`.
    Payload(String),
    /// The request is not permitted, and the client is served no further.
    BadRequest,
}

/// A client that polls.
pub(super) struct Polling {
    client: Client,
    commands: mpsc::Receiver<Command>,
    /// The request that waits for packets.
    poll: Option<oneshot::Sender<Reply>>,
    /// Packets that wait for a request.
    out: Vec<String>,
    /// True while a WebSocket is being tried.
    probing: bool,
}

/// The end of polling.
enum Over {
    /// The client continues over a WebSocket.
    Upgraded(Box<Connection>),
    Ended(End),
}

/// Serves a client to its end; `listed` is dropped when requests no longer reach it.
pub(super) async fn run(
    client: Client,
    commands: mpsc::Receiver<Command>,
    open: String,
    listed: impl Sized,
) {
    let mut polling =
        Box::new(Polling { client, commands, poll: None, out: vec![open], probing: false });
    // The future is boxed, so that it is not kept once the client continues over a WebSocket.
    match Box::pin(polling.serve()).await {
        Over::Upgraded(connection) => {
            drop(listed);
            let Polling { client, out, poll, .. } = *polling;
            if let Some(poll) = poll {
                let _ = poll.send(Reply::Payload(engine::NOOP.to_owned()));
            }
            websocket::run(client, *connection, out).await;
        }
        Over::Ended(end) => {
            Box::pin(polling.end(end)).await;
            drop(listed);
        }
    }
}

impl Polling {
    async fn serve(&mut self) -> Over {
        match self.exchange().await {
            Ok(connection) => Over::Upgraded(connection),
            Err(end) => Over::Ended(end),
        }
    }

    /// Serves the client until it continues over a WebSocket.
    async fn exchange(&mut self) -> Result<Box<Connection>, End> {
        self.client.begin(&mut self.out).await?;
        let mut draining = std::pin::pin!(self.client.app().wait_for(Phase::Draining));
        let mut heartbeat = Heartbeat::new(self.client.revision(), Instant::now());
        let mut timer = std::pin::pin!(sleep_until(heartbeat.due()));
        loop {
            self.answer()?;
            let connect_by = self.client.connect_by();
            let due = connect_by.map_or(heartbeat.due(), |by| by.min(heartbeat.due()));
            timer.as_mut().reset(due);
            let Self { client, commands, poll, .. } = self;
            let wants = poll.is_some();
            // The session's queue is bounded, so a delivery is taken from it only when a poll asks
            // for one.
            let next = async {
                match wants {
                    true => client.next().await,
                    false => client.interrupted().await,
                }
            };
            let command = tokio::select! {
                command = commands.recv() => command.ok_or(End::Gone)?,
                next = next => match next {
                    Next::Send(delivery) => {
                        self.out.push(self.client.packet(delivery)?);
                        continue;
                    }
                    Next::TooSlow => return Err(End::TooSlow),
                    Next::Severed => return Err(End::Gone),
                    Next::Silent => {
                        self.client.silence_over().await;
                        heartbeat.hear(Instant::now());
                        continue;
                    }
                },
                () = vanished(poll) => return Err(End::Gone),
                () = draining.as_mut(), if connect_by.is_some() => {
                    return Err(End::Closed(CloseReason::ServerShutdown));
                }
                () = timer.as_mut() => {
                    match heartbeat.beat(Instant::now()) {
                        Beat::Ping if connect_by.is_none() => self.out.push(engine::PING.to_owned()),
                        _ => return Err(End::Gone),
                    }
                    continue;
                }
            };
            match command {
                Command::Upgrade(connection) => return Ok(connection),
                Command::Post(packets, reply) => {
                    heartbeat.hear(Instant::now());
                    self.post(&packets, reply).await?;
                }
                Command::Poll(reply) if self.poll.is_some() => {
                    let _ = reply.send(Reply::BadRequest);
                    return Err(self.client.no_packet());
                }
                Command::Poll(reply) => self.poll = Some(reply),
                Command::End(end) => return Err(end),
                Command::Probe => self.probing = true,
                Command::GiveUp => self.probing = false,
            }
        }
    }

    async fn post(&mut self, packets: &str, reply: oneshot::Sender<Reply>) -> Result<(), End> {
        for (n, packet) in engine::packets(self.client.revision(), packets).enumerate() {
            // The session's queue does not have room for everything that a long POST causes, so it
            // is emptied in between.
            if n % COLLECT_EVERY == COLLECT_EVERY - 1 {
                self.collect()?;
            }
            let mut taken = match packet {
                Ok(packet) => self.client.take(packet, &mut self.out).await,
                Err(engine::NoPacket) => Err(self.client.no_packet()),
            };
            if self.out.len() > MAX_WAITING {
                self.client.app().counters.slow_sessions.add();
                taken = Err(End::TooSlow);
            }
            if let Err(end) = taken {
                let _ = reply.send(match end {
                    End::NoPacket => Reply::BadRequest,
                    _ => Reply::Payload(OK.to_owned()),
                });
                return Err(end);
            }
        }
        let _ = reply.send(Reply::Payload(OK.to_owned()));
        Ok(())
    }

    /// Answers the waiting request, if there is something to send.
    fn answer(&mut self) -> Result<(), End> {
        if self.poll.is_none() {
            return Ok(());
        }
        self.collect()?;
        // The client ends its polling before it continues over a WebSocket.
        if self.out.is_empty() && self.probing {
            self.out.push(engine::NOOP.to_owned());
        }
        if !self.out.is_empty()
            && let Some(poll) = self.poll.take()
        {
            self.send_packets(poll)?;
        }
        Ok(())
    }

    /// Takes deliveries from the session's queue, as many as one answer has room for.
    fn collect(&mut self) -> Result<(), End> {
        let mut bytes: usize = self.out.iter().map(String::len).sum();
        while bytes < FULL
            && let Some(delivery) = self.client.ready()
        {
            let packet = self.client.packet(delivery)?;
            bytes += packet.len();
            self.out.push(packet);
        }
        Ok(())
    }

    /// Answers a request with all waiting packets. They are lost if its connection is gone.
    fn send_packets(&mut self, poll: oneshot::Sender<Reply>) -> Result<(), End> {
        let mut payload = String::new();
        for packet in std::mem::take(&mut self.out) {
            engine::append(self.client.revision(), &mut payload, &packet);
        }
        poll.send(Reply::Payload(payload)).map_err(|_| End::Gone)
    }

    /// Sends the last packets to the client, if it polls in time.
    async fn end(mut self, end: End) {
        let app = self.client.app().clone();
        // A stop waits for it as for a session; the hub hears of the end now.
        let _running = app.running.token();
        self.client.close();
        let last = end.farewell(&app);
        let is_news = !last.is_empty();
        self.out.extend(last);
        self.out.push(match end {
            // The client has closed it.
            End::Gone => engine::NOOP.to_owned(),
            _ => engine::CLOSE.to_owned(),
        });
        if let Some(poll) = self.poll.take() {
            let _ = self.send_packets(poll);
            return;
        }
        let next_poll = async {
            while let Some(command) = self.commands.recv().await {
                match command {
                    Command::Poll(reply) => return Some(reply),
                    Command::Post(_, reply) => {
                        let _ = reply.send(Reply::Payload(OK.to_owned()));
                    }
                    _ => {}
                }
            }
            None
        };
        if is_news && let Ok(Some(poll)) = timeout(FAREWELL, next_poll).await {
            let _ = self.send_packets(poll);
        }
    }
}

/// Waits until the sender of the request is gone; for ever if there is none.
async fn vanished(poll: &mut Option<oneshot::Sender<Reply>>) {
    match poll {
        Some(poll) => poll.closed().await,
        None => std::future::pending().await,
    }
}

/// The answer to a POST.
const OK: &str = "ok";
