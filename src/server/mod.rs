//! The server as a whole: it binds the listeners, connects relay and hub, and stops both.
//!
//! Relay and hub do not depend on each other. Their messages pass through this module: the relay
//! reports that an allocation for a call was opened or closed, the hub reports the end of a call
//! and the addresses that its sides have announced.

mod addresses;
mod announced_uris;
mod kept_calls;
mod listeners;
mod listening;
mod omitted_addresses;
mod preview;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use callbox_base::clock::Now;
use callbox_relay::{self as relay, Relay};
use callbox_signaling::{Hub, Input};
use callbox_turn as turn;
use rand::{RngCore, TryRngCore, rngs::OsRng};
use serde::Serialize;
use tokio::task::JoinHandle;

use self::{
    addresses::Addresses, announced_uris::AnnouncedUris, kept_calls::KeptCalls, listeners::Binder,
};
pub use self::{listening::Listening, preview::Preview};
use crate::{
    acceptor::{self, Acceptor, CertificateError, CertificateSource, Certificates, Listener, Role},
    config::{Config, DevSecrets},
    http::{self, FaultControl, RelayEvents, RelayFault, TellRelay, Wiring},
    reports::{self, Reports},
    state_log::{StateLog, Sync},
    trace::{self, Traces},
};

/// The reason why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A TCP listener cannot be bound.
    #[error("cannot listen on {address}/tcp ({option}): {source}{}", relay::bind_hint(source))]
    Listen {
        /// The option with the address.
        option: &'static str,
        /// The address of the listener.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// There is no certificate for TLS.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The system does not let the server wait for connections.
    #[error("cannot wait for connections: {0}")]
    Accept(io::Error),
    /// The relay does not start.
    #[error("{0}{options}", options = relay_options(.0))]
    Relay(#[from] relay::StartError),
    /// The system does not list the addresses of this machine.
    #[error("cannot find out the addresses of this machine: {0}")]
    Addresses(io::Error),
    /// The directory for persistent state cannot be used.
    #[error("--state-dir {path}: cannot be written: {source}", path = path.display())]
    State {
        /// The path of the directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory for traces cannot be used.
    #[error("--trace-dir {path}: cannot be written: {source}", path = path.display())]
    Traces {
        /// The path of the directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Calls cannot be reported.
    #[error(transparent)]
    Reports(#[from] reports::StartError),
}

/// The running server.
pub struct Server {
    ready: Ready,
    http: http::Server,
    acceptor: Acceptor,
    certificates: Option<Arc<Certificates>>,
    followers: Vec<JoinHandle<()>>,
    relay: Arc<Relay>,
    /// The log in which calls are stored.
    log: Option<StateLog>,
    reports: Arc<Reports>,
    traces: Option<Arc<Traces>>,
}

/// The addresses of the running server: the line that `--ready-json` prints.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    event: &'static str,
    pid: u32,
    version: &'static str,
    /// The base URL of HTTP.
    pub http: String,
    /// The base URL of HTTPS, if there is a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
    /// The URL of the plain WebSocket protocol.
    pub websocket: String,
    /// The URL of the Socket.IO protocol.
    pub socket_io: String,
    /// `stun:` URIs.
    pub stun: Vec<String>,
    /// The `turn:` and `turns:` URIs that clients are told: UDP first, then TCP, then TLS. With
    /// --dev those of TLS are only listed here.
    pub turn: Vec<String>,
    /// The addresses of the listeners.
    pub listening: Listening,
    realm: String,
    /// True with `--allow-faults`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    faults_allowed: bool,
    /// True with `--force-relay`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    force_relay: bool,
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
        // Configured secrets with --dev are text, since options are, and generated ones are, too.
        let text =
            |secret: &callbox_base::auth::Secret| secret.expose_text().unwrap_or("").to_owned();
        Self {
            auth_secret: text(&secrets.auth),
            jwt_secret: text(&secrets.jwt),
            api_key: text(&secrets.api),
        }
    }
}

impl Server {
    /// Binds every listener and starts. Clients are answered once it has returned.
    ///
    /// # Errors
    /// [`StartError`] names the address; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let sync = config.reports.sync;
        let kept_calls = config.state_dir.map(|path| read_state(path, sync)).transpose()?;
        let log = kept_calls.as_ref().map(|kept| (&kept.log, &kept.found));
        let (reports, reports_inbox) = Reports::start(config.reports, log)?;
        let reports = Arc::new(reports);
        let traces = config.trace.map(start_traces).transpose()?.map(Arc::new);
        let listen = config.acceptor;
        let wanted = [config.http_listen].into_iter().chain(listen.tls_listen.iter().copied());
        let binder = Binder::new(wanted.chain(config.relay.listen.iter().copied()).collect());
        let http = binder.bind("--http", config.http_listen, Role::Http)?;
        let address = http.addresses[0];
        let (mut listeners, mut tls_addresses) = (vec![http.listener], Vec::new());
        for address in listen.tls_listen {
            let tls = binder.bind("--tls-listen", address, Role::Tls)?;
            tls_addresses.extend(tls.addresses);
            listeners.push(tls.listener);
        }
        let is_self_signed = matches!(listen.certificate, Some(CertificateSource::SelfSigned));
        let certificates = listen.certificate.map(Certificates::new).transpose()?.map(Arc::new);

        let (events, relay_inbox) = http::relay_events();
        let relay_traces = traces.clone();
        let on_event = Arc::new(move |event| match event {
            turn::Event::Traced(step) => trace_step(relay_traces.as_deref(), *step),
            event => tell_hub(&events, event),
        });
        let mut relay_config = config.relay;
        relay_config.turn.tcp_listeners.extend(http.addresses);
        relay_config.turn.tcp_listeners.extend(&tls_addresses);
        let mut relay = Relay::start(relay_config, on_event)?;
        let shared = relay.take_listeners();
        listeners.extend(shared.into_iter().map(|socket| Listener { socket, role: Role::Turn }));
        let relay = Arc::new(relay);
        let reach = |listeners: &[SocketAddr]| relay.listener_addresses(listeners);
        let addresses =
            Addresses::new(relay.addresses(), &tls_addresses, config.public_uris, reach);
        let announced =
            AnnouncedUris::new(addresses.map_err(StartError::Addresses)?, certificates.clone());
        announced.warn();
        let uris = announced.uris().clone();

        let mut signaling = config.signaling;
        let force_relay = signaling.force_relay;
        signaling.stun_uris.clone_from(&uris.stun);
        signaling.turn_uris = uris.advertised_turn();
        let mut seed = [0; 32];
        OsRng.unwrap_err().fill_bytes(&mut seed);
        let [metrics_relay, whole_relay] = [&relay, &relay].map(Arc::downgrade);
        let metrics_reports = reports.clone();
        let mut hub = Hub::new(signaling, seed);
        if let Some(kept_calls) = &kept_calls {
            kept_calls.restore_to(&mut hub);
        }
        let faults_allowed = config.faults.is_some();
        let wiring = Wiring {
            hub,
            relay_inbox,
            tell_relay: tell_relay(&relay),
            reports: reports_inbox,
            log: kept_calls.as_ref().map(|kept| kept.log.clone()),
            relay_metrics: Box::new(move || {
                metrics_relay.upgrade().map(|relay| relay.metrics()).unwrap_or_default()
            }),
            relay_is_whole: Box::new(move || {
                whole_relay.upgrade().is_none_or(|relay| relay.is_whole())
            }),
            kick_from_relay: kick_from_relay(&relay),
            traces: traces.clone(),
            inject_into_relay: faults_allowed.then(|| inject_into_relay(&relay)),
            report_metrics: Box::new(move || metrics_reports.snapshot()),
            certificate_expiry: certificates.clone().map(|certificates| {
                Box::new(move || certificates.expiry()) as http::CertificateExpiry
            }),
            named_by_certificate: certificates.clone().map(|certificates| {
                Box::new(move |host: &str| certificates.server_certificate().names(host))
                    as http::NamedByCertificate
            }),
        };
        let http = http::Server::start(config.http, wiring);
        let stream_relay = Arc::downgrade(&relay);
        let wiring = acceptor::Wiring {
            http: http.service(),
            on_stream: Arc::new(move |stream| {
                if let Some(relay) = stream_relay.upgrade() {
                    relay.take_stream(stream);
                }
            }),
            certificates: certificates.clone(),
            proxies: Arc::new(listen.proxies),
        };
        let acceptor = Acceptor::start(listeners, &wiring).map_err(StartError::Accept)?;
        let mut turn = uris.advertised_turn();
        if is_self_signed {
            // Browsers refuse a self-signed certificate; tests and tools may accept it.
            turn.extend(uris.untrusted_turns.iter().cloned());
        }
        let followers = certificates.iter().cloned().map(follow).collect::<Vec<_>>();
        let followers = followers.into_iter().chain(announced.follow(http.ice_uris())).collect();

        // Nothing else can fail any more.
        let log = kept_calls.map(KeptCalls::open).transpose().map_err(StartError::Accept)?;
        if let (Some(faults), Some(control)) = (config.faults, http.fault_control()) {
            // The server cannot have stopped yet.
            let _ = control.replace(faults).await;
        }
        let ready = Ready {
            event: "ready",
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            http: format!("http://{address}"),
            https: uris.https.clone(),
            websocket: format!("ws://{address}/ws"),
            socket_io: format!("http://{address}"),
            turn,
            stun: uris.stun,
            listening: Listening {
                http: address,
                listen: relay.addresses().to_vec(),
                tls_listen: tls_addresses,
            },
            realm: config.realm,
            faults_allowed,
            force_relay,
            dev: config.dev.as_ref().map(ReadyDev::new),
        };
        Ok(Self { ready, http, acceptor, certificates, followers, relay, log, reports, traces })
    }

    /// Returns the addresses of the server.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Returns the control of faults, if any are allowed.
    pub fn fault_control(&self) -> Option<FaultControl> {
        self.http.fault_control()
    }

    /// Reads the certificate again, and reopens the call records, which may have been moved away.
    /// If that fails, the old ones remain in use, and the log says why.
    pub fn reload(&self) {
        self.reports.reopen();
        match &self.certificates {
            Some(certificates) => certificates.reload_and_tell(),
            None => tracing::info!("there is no certificate to read again"),
        }
    }

    /// Completes once a worker of the relay has ended and some of its clients are not served. The
    /// only remedy is to stop and to start again.
    pub fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        self.relay.broken()
    }

    /// Makes a worker of the relay end.
    #[cfg(test)]
    pub(crate) fn break_relay(&self) {
        self.relay.break_worker();
    }

    /// Stops: calls end or are stored, every client is told, the sockets are closed.
    pub async fn stop(self) {
        self.followers.iter().for_each(JoinHandle::abort);
        self.http.stop().await;
        self.acceptor.stopped().await;
        // If its metrics are being read at this moment, the relay stops when that is done.
        if let Some(relay) = Arc::into_inner(self.relay) {
            relay.stop();
        }
        // The relay's last counters were part of the last reports.
        self.reports.finish().await;
        if let Some(traces) = self.traces {
            // Files are written meanwhile.
            let _ = tokio::task::spawn_blocking(move || traces.finish()).await;
        }
        if let Some(log) = &self.log {
            kept_calls::close(log).await;
        }
    }
}

fn start_traces(config: trace::Config) -> Result<Traces, StartError> {
    let path = config.dir.clone().unwrap_or_default();
    Traces::start(config).map_err(|source| StartError::Traces { path, source })
}

/// Adds a step of the relay to its trace.
fn trace_step(traces: Option<&Traces>, step: turn::Traced) {
    if let Some(traces) = traces {
        trace::relay_step(traces, Now::read(), step);
    }
}

/// Returns the options that may contain an address that the relay could not bind.
fn relay_options(error: &relay::StartError) -> &'static str {
    match error {
        relay::StartError::ExternalIp { .. } | relay::StartError::Alternate(_) => "",
        _ => " (--listen, --relay-ip)",
    }
}

fn follow(certificates: Arc<Certificates>) -> JoinHandle<()> {
    tokio::spawn(async move { certificates.follow().await })
}

fn read_state(path: PathBuf, sync: Sync) -> Result<KeptCalls, StartError> {
    KeptCalls::read(path.clone(), sync).map_err(|source| StartError::State { path, source })
}

/// Returns the calls by which the hub notifies the relay. They hold weak references, so that the
/// server can stop the relay while the hub still has them.
fn tell_relay(relay: &Arc<Relay>) -> TellRelay {
    let (ending, announcing) = (Arc::downgrade(relay), Arc::downgrade(relay));
    let (readmitting, revoking) = (Arc::downgrade(relay), Arc::downgrade(relay));
    let lifting = Arc::downgrade(relay);
    TellRelay {
        call_ended: Box::new(move |call| {
            if let Some(relay) = ending.upgrade() {
                relay.end_call(call);
            }
        }),
        readmit_user: Box::new(move |call, user| {
            if let Some(relay) = readmitting.upgrade() {
                relay.readmit_user(call, user);
            }
        }),
        revoke_user: Box::new(move |call, user| {
            if let Some(relay) = revoking.upgrade() {
                relay.revoke_user(call, user);
            }
        }),
        lift_kick: Box::new(move |user| {
            if let Some(relay) = lifting.upgrade() {
                relay.lift_kick(user);
            }
        }),
        peers_announced: Box::new(move |call, by, to, addresses| {
            if let Some(relay) = announcing.upgrade() {
                relay.announce(call, by, to, addresses);
            }
        }),
    }
}

/// Returns the function that closes the allocations of a user who is kicked.
fn kick_from_relay(relay: &Arc<Relay>) -> http::KickFromRelay {
    let relay = Arc::downgrade(relay);
    Arc::new(move |now, user, calls| {
        let closing = relay.upgrade().map(|relay| relay.kick(now, user, calls));
        Box::pin(async move {
            match closing {
                Some(closing) => closing.closed().await,
                None => 0,
            }
        })
    })
}

/// Returns the function that makes the relay inject faults.
fn inject_into_relay(relay: &Arc<Relay>) -> http::InjectIntoRelay {
    let relay = Arc::downgrade(relay);
    Box::new(move |fault| {
        let closing = relay.upgrade().map(|relay| match fault {
            RelayFault::Task(task) => relay.inject(&task),
            RelayFault::ExpireCredentials(now, selector) => {
                relay.expire_credentials(now, &selector)
            }
        });
        Box::pin(async move {
            match closing {
                Some(closing) => closing.closed().await,
                None => 0,
            }
        })
    })
}

/// Forwards an event of the relay to the hub.
fn tell_hub(events: &RelayEvents, event: turn::Event) {
    let sent = events.tell(match event {
        turn::Event::AllocationOpened { call, usage } => Input::RelayOpened { call, usage },
        turn::Event::AllocationClosed { call, usage } => Input::RelayClosed { call, usage },
        turn::Event::Traced(_) => return,
    });
    if !sent {
        tracing::debug!(
            "the hub's queue is full: an event of an allocation is missing from a call's record"
        );
    }
}
