//! The server as a whole: binds what listens, wires relay and hub together, and stops both.
//!
//! Relay and hub do not know each other. What passes between them passes here: the relay says that
//! an allocation for a call was opened or closed, the hub says that a call is over.

use std::{io, net::SocketAddr, sync::Arc};

use rand::{RngCore, TryRngCore, rngs::OsRng};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::{
    config::{Config, DevSecrets},
    http::{self, RelayEvents, Wiring},
    relay::{self, Relay},
    signaling::{Hub, Input},
    turn,
};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP listener cannot be bound.
    #[error("cannot listen on {address}/tcp (--http): {source}{}", relay::bind_hint(source))]
    Http {
        /// On which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The relay does not start.
    #[error("{0} (--listen, --relay-ip)")]
    Relay(#[from] relay::StartError),
}

/// The running server.
pub struct Server {
    ready: Ready,
    http: http::Server,
    relay: Arc<Relay>,
}

/// Where everything is, once it is up: the line that `--ready-json` prints.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    event: &'static str,
    pid: u32,
    version: &'static str,
    /// The base of every HTTP address.
    pub http: String,
    /// The plain WebSocket front.
    pub websocket: String,
    /// The Socket.IO front.
    pub socket_io: String,
    /// `stun:` URIs.
    pub stun: Vec<String>,
    /// `turn:` URIs.
    pub turn: Vec<String>,
    realm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dev: Option<ReadyDev>,
}

/// The generated secrets, which only `--dev` shows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadyDev {
    auth_secret: String,
    jwt_secret: String,
    api_key: String,
}

impl ReadyDev {
    fn new(secrets: &DevSecrets) -> Self {
        // What is configured with --dev is text, since flags are, and what is generated is, too.
        let text = |secret: &crate::auth::Secret| secret.expose_text().unwrap_or("").to_owned();
        Self {
            auth_secret: text(&secrets.auth),
            jwt_secret: text(&secrets.jwt),
            api_key: text(&secrets.api),
        }
    }
}

impl Server {
    /// Binds every listener and starts. When it returns, clients are answered.
    ///
    /// # Errors
    /// [`StartError`] names the address; then nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let address = config.http.listen;
        let http_error = |source| StartError::Http { address, source };
        let listener = TcpListener::bind(address).await.map_err(http_error)?;
        let address = listener.local_addr().map_err(http_error)?;

        let (events, relay_inbox) = http::relay_events();
        let on_event = Arc::new(move |event| tell_hub(&events, event));
        let relay = Arc::new(Relay::start(config.relay, on_event)?);
        let at = relay.public_addresses();
        let stun: Vec<_> = at.iter().map(|at| format!("stun:{at}")).collect();
        let turn: Vec<_> = at.iter().map(|at| format!("turn:{at}?transport=udp")).collect();

        let mut signaling = config.signaling;
        signaling.stun_uris.clone_from(&stun);
        signaling.turn_uris.clone_from(&turn);
        let mut seed = [0; 32];
        OsRng.unwrap_err().fill_bytes(&mut seed);
        // The relay is ours alone, so that we can stop it whatever connections still hold.
        let (call_relay, metrics_relay) = (Arc::downgrade(&relay), Arc::downgrade(&relay));
        let wiring = Wiring {
            hub: Hub::new(signaling, seed),
            relay_inbox,
            on_call_ended: Box::new(move |call| {
                if let Some(relay) = call_relay.upgrade() {
                    relay.end_call(call);
                }
            }),
            relay_metrics: Box::new(move || {
                metrics_relay.upgrade().map(|relay| relay.metrics()).unwrap_or_default()
            }),
        };
        let http = http::Server::start(listener, config.http, wiring);

        let ready = Ready {
            event: "ready",
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            http: format!("http://{address}"),
            websocket: format!("ws://{address}/ws"),
            socket_io: format!("http://{address}"),
            stun,
            turn,
            realm: config.realm,
            dev: config.dev.as_ref().map(ReadyDev::new),
        };
        Ok(Self { ready, http, relay })
    }

    /// Where everything is.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Stops: calls end, every client hears of it, the sockets are closed.
    pub async fn stop(self) {
        self.http.stop().await;
        // If somebody reads its numbers at this very moment, it stops when they are done.
        if let Some(relay) = Arc::into_inner(self.relay) {
            relay.stop();
        }
    }
}

/// The relay's news, in the hub's words.
fn tell_hub(events: &RelayEvents, event: turn::Event) {
    let told = events.tell(match event {
        turn::Event::AllocationOpened { call, usage } => Input::RelayOpened { call, usage },
        turn::Event::AllocationClosed { call, usage } => Input::RelayClosed { call, usage },
    });
    if !told {
        tracing::debug!("the hub is too busy to hear of an allocation; a call's record lacks it");
    }
}
