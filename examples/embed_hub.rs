//! A signaling server for WebRTC calls over WebSocket around the library `callbox-signaling`.
//!
//! ```console
//! $ cargo run --example embed_hub -- 127.0.0.1:8080 alice bob
//! listening on ws://127.0.0.1:8080
//! alice eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9…
//! bob eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9…
//! ```
//!
//! It prints a token for each user that is named, good for an hour. Frames are those of the section
//! "WebSocket" of `docs/protocol.md`; with any WebSocket client, each in one line:
//!
//! ```text
//! { "event": "session:hello", "data": { "token": "eyJ0…" } }
//! { "event": "call:initiate", "id": 1, "data": { "targetUserId": "bob", "callType": "audio" } }
//! ```
//!
//! One task owns the [`Hub`], which decides everything. Connections put [`Input`]s into its queue;
//! the task hands each to [`Hub::handle`], carries out what [`Hub::poll_output`] gives until it
//! gives nothing, and calls [`Hub::handle_timeout`] when [`Hub::next_timeout`] is due. Every queue
//! is bounded, and a client that does not read is disconnected.
//!
//! A server for the public needs more than fits here: TLS, Socket.IO, sessions that are resumed,
//! and a relay that is told of calls. `src/http` has all that around the same library.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use callbox_signaling::{
    Config, Hub, Input, Now, Output, Payload, RequestId, Resume, Secret, SessionId, UserId,
    jwt::{Grants, Identity, TokenKeys, TokenMinter, TokenVerifier, Wanted},
};
use futures_util::{SinkExt, StreamExt};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{interval, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{
        Message,
        protocol::{WebSocketConfig, frame::coding::CloseCode},
    },
};

const USAGE: &str = "usage: embed_hub ADDRESS:PORT USER…";

/// The number of connections that may be open at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 1000;

/// The longest message of a client, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// The number of messages that may wait for a client, and of inputs that may wait for the hub.
const QUEUE: usize = 256;

/// The time that a client has to upgrade the connection, to send its token, and to take a message.
const PATIENCE: Duration = Duration::from_secs(5);

/// The interval between pings. A client that sends nothing between two of them is disconnected.
const PING: Duration = Duration::from_secs(25);

/// The frame of a client.
#[derive(Deserialize)]
struct Frame<'a> {
    event: String,
    id: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// A message to the task that owns the hub.
enum ToHub {
    /// A client is authenticated, and gets its messages by this queue.
    Opened(SessionId, Box<Identity>, mpsc::Sender<Message>),
    Input(Input),
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listener = TcpListener::bind(arguments.next().context(USAGE)?).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    // Your back end has the secret as well, and signs a token for each user who has signed in
    // there.
    let secret = Secret::generate();
    let mut keys = TokenKeys::default();
    keys.add_secret(&secret);
    let verifier = Arc::new(TokenVerifier::new(keys, None, None));
    let (minter, ttl) = (TokenMinter::new(&secret, None, None), Duration::from_secs(3600));
    for user in arguments {
        let wanted =
            Wanted { user: UserId::new(&user)?, name: None, ttl, grants: Grants::default() };
        println!("{user} {}", minter.mint(&wanted, Now::read())?.token);
    }
    let (to_hub, inbox) = mpsc::channel(QUEUE);
    tokio::spawn(run_hub(inbox));
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await?;
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (to_hub, verifier) = (to_hub.clone(), verifier.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &to_hub, &verifier).await {
                eprintln!("{from}: {error}");
            }
            drop(slot);
        });
    }
}

/// Drives the hub: the loop that a program around the library needs.
async fn run_hub(mut inbox: mpsc::Receiver<ToHub>) {
    let mut hub = Hub::new(Config::default(), StdRng::from_os_rng().random());
    let mut clients = HashMap::new();
    loop {
        let due = hub.next_timeout();
        let timer = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            message = inbox.recv() => match message {
                Some(ToHub::Opened(session, identity, outlet)) => {
                    clients.insert(session, outlet);
                    let open = Input::Open { session, identity, device: None, resume: Resume::Never };
                    hub.handle(Now::read(), open);
                }
                Some(ToHub::Input(input)) => hub.handle(Now::read(), input),
                None => return,
            },
            () = timer => hub.handle_timeout(Now::read()),
        }
        while let Some(output) = hub.poll_output() {
            carry_out(&mut clients, output);
        }
    }
}

/// Carries out an output of the hub.
fn carry_out(clients: &mut HashMap<SessionId, mpsc::Sender<Message>>, output: Output) {
    let (session, frame) = match output {
        Output::Welcome { session, data } => {
            (session, format!(r#"{{"event":"session:welcome","data":{}}}"#, data.as_str()))
        }
        Output::Send { session, event, .. } => {
            (session, format!(r#"{{"event":"{}","data":{}}}"#, event.name, event.data.as_str()))
        }
        Output::Answer { session, id, answer } => {
            (session, format!(r#"{{"re":{},"data":{}}}"#, id.0, answer.0.as_str()))
        }
        // A connection whose queue has no sender closes.
        Output::Close { session, reason } => {
            eprintln!("{session} is closed: {}", reason.as_str());
            clients.remove(&session);
            return;
        }
        // Other outputs are for a relay, for webhooks and for calls that outlive the server.
        _ => return,
    };
    let sent = clients.get(&session).map(|outlet| outlet.try_send(Message::text(frame)));
    if let Some(Err(_)) = sent {
        clients.remove(&session);
    }
}

/// Serves one connection to its end.
async fn serve(
    stream: TcpStream,
    hub: &mpsc::Sender<ToHub>,
    verifier: &TokenVerifier,
) -> Result<()> {
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE));
    let mut socket = timeout(PATIENCE, accept_async_with_config(stream, Some(config))).await??;
    let hello = timeout(PATIENCE, socket.next()).await?.context("the client is gone")??;
    let identity = sign_in(&hello, verifier)?;
    let session = SessionId::generate(Now::read().unix_ms(), &mut StdRng::from_os_rng());
    let (outlet, inlet) = mpsc::channel(QUEUE);
    hub.send(ToHub::Opened(session, Box::new(identity), outlet)).await?;
    let end = exchange(&mut socket, session, hub, inlet).await;
    // A client that closes the connection for good ends its calls; one that was cut off can resume
    // them.
    let has_left = matches!(end, Ok(CloseCode::Normal));
    let input = if has_left { Input::Left { session } } else { Input::Closed { session } };
    hub.send(ToHub::Input(input)).await?;
    let _ = timeout(PATIENCE, socket.close(None)).await;
    end.map(|_| ())
}

/// Authenticates a client by its first frame.
fn sign_in(hello: &Message, verifier: &TokenVerifier) -> Result<Identity> {
    #[derive(Deserialize)]
    struct Hello {
        token: String,
    }
    let frame = read_frame(hello.to_text()?)?;
    if frame.event != "session:hello" {
        bail!("the first frame is not session:hello");
    }
    let hello = frame.data.and_then(|data| serde_json::from_str::<Hello>(data.get()).ok());
    let hello = hello.context("session:hello has no token")?;
    Ok(verifier.verify(&hello.token, Now::read())?)
}

/// Forwards frames in both directions until one side closes; returns the client's close code.
async fn exchange(
    socket: &mut WebSocketStream<TcpStream>,
    session: SessionId,
    hub: &mpsc::Sender<ToHub>,
    mut inlet: mpsc::Receiver<Message>,
) -> Result<CloseCode> {
    let (mut pings, mut is_silent) = (interval(PING), false);
    loop {
        let message = tokio::select! {
            message = inlet.recv() => match message {
                Some(message) => message,
                None => return Ok(CloseCode::Policy),
            },
            _ = pings.tick() => match std::mem::replace(&mut is_silent, true) {
                false => Message::Ping(Default::default()),
                true => bail!("the client does not answer"),
            },
            message = socket.next() => {
                is_silent = false;
                match message.context("the client is gone")?? {
                    Message::Text(text) => {
                        hub.send(ToHub::Input(request(session, &text)?)).await?;
                    }
                    Message::Close(close) => {
                        return Ok(close.map_or(CloseCode::Status, |close| close.code));
                    }
                    _ => {}
                }
                continue;
            }
        };
        timeout(PATIENCE, socket.send(message)).await??;
    }
}

/// Parses a request, which the hub then judges.
fn request(session: SessionId, text: &str) -> Result<Input> {
    let frame = read_frame(text)?;
    let data = frame.data.map(Payload::check).transpose()?.unwrap_or_default();
    Ok(Input::Request { session, id: frame.id.map(RequestId), event: frame.event, data })
}

/// Parses a frame. The error, which ends the connection and is printed, shows nothing of the frame.
fn read_frame(text: &str) -> Result<Frame<'_>> {
    serde_json::from_str(text).map_err(|_| anyhow!("the client sent a frame that cannot be read"))
}
