//! A client of a signaling server, in either framing.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::{
    args::Target,
    framing::{Data, Framing, Incoming, PONG},
};

/// The longest time to sign in.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The number of clients at one address of this machine, if the server is on it: servers limit the
/// connections of an address.
const PER_ADDRESS: usize = 250;

/// A user who is signed in.
pub(super) struct Session {
    ws: WebSocketStream<TcpStream>,
    framing: Framing,
    /// The number of the last event that has come, and of the last that was acknowledged.
    seq: u64,
    acknowledged: u64,
}

/// The reason for which a call failed: the server's error code, or a text of the load.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure(pub Cow<'static, str>);

impl Failure {
    /// The connection is closed.
    pub(super) const CLOSED: Self = Self(Cow::Borrowed("connection closed"));
    /// An answer or an event did not come in time.
    pub(super) const LATE: Self = Self(Cow::Borrowed("no answer in time"));
    /// An event of another call came, or one that is not due.
    pub(super) const WRONG: Self = Self(Cow::Borrowed("wrong event"));
}

/// An event or an answer, as far as the load reads it.
#[derive(Debug)]
pub(super) struct Received {
    /// The event's name; `None` for an answer.
    pub event: Option<String>,
    pub call: Option<String>,
}

impl Session {
    /// Connects as client number `number`, and signs in.
    pub(super) async fn open(
        target: &Target,
        from: Option<IpAddr>,
        number: usize,
        token: &str,
    ) -> anyhow::Result<Self> {
        let opened = tokio::time::timeout(TIMEOUT, async {
            let stream = connect(target, from, number).await?;
            let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
            let (ws, _) =
                client_async_with_config(target.url.as_str(), stream, Some(config)).await?;
            let mut session = Self { ws, framing: target.framing, seq: 0, acknowledged: 0 };
            session.sign_in(token).await?;
            Ok(session)
        });
        let opened = opened.await.context("it takes too long").and_then(|opened| opened);
        opened.with_context(|| format!("client {number} cannot sign in at {}", target.url))
    }

    async fn sign_in(&mut self, token: &str) -> anyhow::Result<()> {
        if self.framing == Framing::WebSocket {
            self.ws.send(Message::text(self.framing.hello(token))).await?;
        }
        loop {
            let text = match self.ws.next().await.context("the connection is closed")?? {
                Message::Text(text) => text,
                Message::Close(Some(close)) => bail!("{}", close.reason),
                _ => continue,
            };
            match self.framing.read(&text) {
                Some(Incoming::Open) => {
                    self.ws.send(Message::text(self.framing.hello(token))).await?;
                }
                Some(Incoming::Refused(reason)) => bail!("{reason}"),
                Some(Incoming::Event { data: Data { error: Some(error), .. }, .. }) => {
                    bail!("{}", error.code)
                }
                Some(Incoming::Connected | Incoming::Event { name: "session:welcome", .. }) => {
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// Sends an event, with an `id` if its answer is wanted.
    pub(super) async fn send(
        &mut self,
        name: &str,
        id: Option<u64>,
        data: &str,
    ) -> Result<(), Failure> {
        self.put(self.framing.event(name, id, data)).await
    }

    async fn put(&mut self, text: String) -> Result<(), Failure> {
        self.ws.send(Message::text(text)).await.map_err(|_| Failure::CLOSED)
    }

    /// Acknowledges the events that have come since the last time.
    pub(super) async fn acknowledge(&mut self) -> Result<(), Failure> {
        if self.seq > self.acknowledged
            && let Some(text) = self.framing.acknowledge(self.seq)
        {
            self.acknowledged = self.seq;
            self.put(text).await?;
        }
        Ok(())
    }

    /// Waits for an event or an answer. It may be cancelled without loss.
    pub(super) async fn receive(&mut self) -> Result<Received, Failure> {
        loop {
            let text = match self.ws.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Failure::CLOSED),
                Some(Ok(_)) => continue,
            };
            let (event, data) = match self.framing.read(&text) {
                Some(Incoming::Event { name, seq, data }) => {
                    self.seq = seq.unwrap_or(self.seq);
                    (Some(name.to_owned()), data)
                }
                Some(Incoming::Answer { data }) => (None, data),
                Some(Incoming::Ping) => {
                    self.put(PONG.to_owned()).await?;
                    continue;
                }
                _ => continue,
            };
            if let Some(error) = data.error {
                return Err(Failure(error.code.to_owned().into()));
            }
            return Ok(Received { event, call: data.call_id.map(str::to_owned) });
        }
    }

    /// Closes the connection, so that the server does not wait for the client.
    pub(super) async fn close(mut self) {
        let _ = self.ws.close(None).await;
    }
}

/// Connects from an address of this machine.
async fn connect(
    target: &Target,
    from: Option<IpAddr>,
    number: usize,
) -> anyhow::Result<TcpStream> {
    let mut found = tokio::net::lookup_host((target.host.as_str(), target.port)).await?;
    let server = found.next().context("the host has no address")?;
    let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.context("no socket; is the limit of open files (`ulimit -n`) too low?")?;
    let from = from.or_else(|| match server.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Some(loopback(number).into()),
        _ => None,
    });
    if let Some(from) = from {
        socket
            .bind(SocketAddr::new(from, 0))
            .with_context(|| format!("--client-ip {from}: no socket at that address"))?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Returns an address of the loopback network, 127.0.0.2 for the first clients.
fn loopback(number: usize) -> Ipv4Addr {
    let host = 2 + (number / PER_ADDRESS) as u32 % 60_000;
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 0)) + host)
}
