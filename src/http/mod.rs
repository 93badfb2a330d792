//! The HTTP server with axum: both signaling protocols, the REST API, the pages and the metrics.
//! Connections come from the [`acceptor`](crate::acceptor).
//!
//! | file | contents |
//! |---|---|
//! | `service`, `limits`, `lease` | connections: serving them, and the limits of their number |
//! | `arrival`, `admission`, `forwarded/` | requests: their senders, also through proxies |
//! | `requests`, `request_head`, `bodies` | requests: reading and answering them |
//! | `exchange`, `memory`, `streams`, `unauthenticated_input` | requests: the limits of time and of memory |
//! | `hub_task`, `connections` | the task that owns the hub, and the connections of its sessions |
//! | `pending_outputs` | outputs of the hub that wait until changes are stored |
//! | `ice_uris` | the STUN and TURN URIs that clients are told |
//! | `session_queue` | the messages that wait for a session's connection |
//! | `authorization`, `authenticator` | the check of the tokens and keys in requests |
//! | `key_set` | the published keys of tokens |
//! | `session` | the code that both protocols share |
//! | `ws/` | the plain WebSocket protocol |
//! | `socketio/` | the Socket.IO protocol |
//! | `refused` | the log lines about refused credentials |
//! | `rest/`, `error` | the REST API, its errors |
//! | `origin`, `origins`, `server_name`, `cors` | web pages that may connect, headers for browsers |
//! | `relay_orders` | what the relay is ordered to do |
//! | `faults`, `fault_control` | the faults that tests ask for, and a handle of them |
//! | `tokens` | tokens for users, on behalf of a back end |
//! | `documents` | the machine-readable documents of the API |
//! | `metrics/`, `counters` | the metrics |
//! | `client` | the client for web pages, as a module to import |
//! | `embedded` | files that are part of the binary, with their entity tags |
//! | `dev` | the pages that only `--dev` serves |

mod admission;
mod api_key;
mod app;
mod arrival;
mod authenticator;
mod authorization;
mod bodies;
mod client;
mod connections;
mod cors;
mod counters;
mod dev;
mod documents;
mod embedded;
mod error;
mod exchange;
mod fault_control;
mod faults;
mod forwarded;
mod hub_task;
mod ice_uris;
mod key_set;
mod lease;
mod limits;
mod memory;
mod metrics;
mod origin;
mod origins;
mod pending_outputs;
mod refused;
mod relay_orders;
mod request_head;
mod requests;
mod rest;
mod server_name;
mod service;
mod session;
mod session_queue;
pub mod socketio;
mod streams;
mod tokens;
mod unauthenticated_input;
mod write_timeout;
mod ws;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{any, get, post},
};
use callbox_base::addresses::Networks;
use callbox_signaling::{
    Hub, Input,
    jwt::{TokenMinter, TokenVerifier},
};
use tokio::sync::watch;

pub use self::api_key::ApiKeys;
use self::{
    app::{App, Phase, Sources},
    counters::Counters,
    error::ApiError,
    faults::Faults,
    limits::ConnectionLimits,
    server_name::OwnNames,
};
pub use self::{
    app::{CertificateExpiry, RelayIsWhole, RelayMetrics, ReportMetrics},
    arrival::{Arrival, Entrance},
    fault_control::FaultControl,
    hub_task::{RelayEvents, RelayInbox, TellRelay, relay_events},
    ice_uris::IceUris,
    key_set::KeySource,
    lease::Lease,
    limits::Purpose,
    origin::{Origin, OriginError},
    pending_outputs::ALIVE,
    relay_orders::{AllocationCount, InjectIntoRelay, KickFromRelay, RelayFault},
    server_name::{NamedByCertificate, ServerName, ServerNameError},
    service::{HEADER_TIMEOUT, Service},
};
pub(crate) use self::{
    documents::described,
    ws::{SessionHello, closes},
};
use crate::{reports, state_log::StateLog, trace::Traces};

/// The longest message that a client may send by default, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The default for the largest number of connections of one address.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 1000;

/// The memory that requests and their answers may hold in all by default, in bytes.
pub const MAX_REQUEST_MEMORY: usize = 24 * 1024 * 1024;

/// The longest time that sessions may take to get the last events when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// The longest time that a request may take from its head to its answer, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The settings of the HTTP side.
#[derive(Clone)]
pub struct Config {
    /// The checks of users' tokens.
    pub tokens: TokenVerifier,
    /// The source of its published keys, if it has some.
    pub key_source: Option<KeySource>,
    /// The keys of the pages for back ends.
    pub api_keys: ApiKeys,
    /// The origins of web pages that may connect; none means that all may.
    pub allow_origins: Vec<Origin>,
    /// The names under which the server's own pages may connect, besides those of the certificate.
    pub server_names: Vec<ServerName>,
    /// The longest message that a client may send, in bytes.
    pub max_message: usize,
    /// The largest number of connections in all.
    pub max_connections: usize,
    /// The largest number of connections of one address.
    pub max_connections_per_address: usize,
    /// The number of files that the process may have open. A part of them is reserved for other
    /// uses than connections.
    pub open_files: usize,
    /// The memory that requests and their answers may hold in all, in bytes.
    pub max_request_memory: usize,
    /// The reverse proxies whose statements about their clients' addresses are trusted.
    pub trusted_proxies: Networks,
    /// Signs tokens, if there is a secret for it.
    pub minter: Option<TokenMinter>,
    /// True in `--dev`: anyone can get a token, and the demo page is served.
    pub dev: bool,
}

/// The running HTTP side with its hub.
pub struct Server {
    app: Arc<App>,
    phase: watch::Sender<Phase>,
    service: Service,
}

/// The other parts of the server that the HTTP side is connected to.
pub struct Wiring {
    /// The hub.
    pub hub: Hub,
    /// The relay's events for the hub.
    pub relay_inbox: RelayInbox,
    /// The calls by which the relay is told of calls.
    pub tell_relay: TellRelay,
    /// The receiver of reports about calls.
    pub reports: reports::Inbox,
    /// The log in which calls are stored as they change, if they are.
    pub log: Option<StateLog>,
    /// Returns the relay's counters.
    pub relay_metrics: RelayMetrics,
    /// Returns true if the relay serves all its clients.
    pub relay_is_whole: RelayIsWhole,
    /// Kicks a user from the relay.
    pub kick_from_relay: KickFromRelay,
    /// The traces of calls, if there are any.
    pub traces: Option<Arc<Traces>>,
    /// Makes the relay inject faults, if any are allowed.
    pub inject_into_relay: Option<InjectIntoRelay>,
    /// Returns the counters of reports.
    pub report_metrics: ReportMetrics,
    /// Returns the end of the certificate's validity, if there is TLS.
    pub certificate_expiry: Option<CertificateExpiry>,
    /// Returns true if the certificate names a host, if there is TLS.
    pub named_by_certificate: Option<NamedByCertificate>,
}

impl Server {
    /// Starts the hub and everything that serves connections, which go to [`Server::service`].
    pub fn start(config: Config, wiring: Wiring) -> Self {
        let counters = Arc::new(Counters::default());
        let (phase, current) = watch::channel(Phase::Serving);
        let hub = hub_task::spawn(hub_task::Parts {
            hub: wiring.hub,
            relay: wiring.relay_inbox,
            tell_relay: wiring.tell_relay,
            reports: wiring.reports,
            log: wiring.log,
            traces: wiring.traces.clone(),
            counters: counters.clone(),
            max_message: config.max_message,
        });
        let (max, per_address) = (config.max_connections, config.max_connections_per_address);
        let connections = ConnectionLimits::new(max, per_address, config.open_files);
        let faults = wiring
            .inject_into_relay
            .map(|inject| Arc::new(Faults::new(inject, hub.clone(), wiring.traces.clone())));
        let sources = Sources {
            relay_metrics: wiring.relay_metrics,
            relay_is_whole: wiring.relay_is_whole,
            kick_from_relay: wiring.kick_from_relay,
            traces: wiring.traces,
            report_metrics: wiring.report_metrics,
            certificate_expiry: wiring.certificate_expiry,
        };
        let own_names = OwnNames::new(config.server_names.clone(), wiring.named_by_certificate);
        let app = Arc::new(App::new(config, own_names, hub, counters, sources, faults, current));
        let socket_io = socketio::SocketIo::new(app.clone(), max, per_address);
        let service = Service::new(router(&app, socket_io), app.clone(), connections);
        Self { app, phase, service }
    }

    /// Returns the service for connections.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Returns the handle that sets other STUN and TURN URIs for clients.
    pub fn ice_uris(&self) -> IceUris {
        IceUris(self.app.hub.clone())
    }

    /// Returns the control of faults, if any are allowed.
    pub fn fault_control(&self) -> Option<FaultControl> {
        self.app.faults.clone().map(FaultControl::new)
    }

    /// Stops: `/readyz` reports that, calls end, sessions are told and closed, and then the
    /// connections are told to end.
    pub async fn stop(self) {
        let Self { app, phase, service: _ } = self;
        // Clients that have not authenticated have no session that could be closed.
        phase.send_replace(Phase::Draining);
        app.hub.tell(Input::Shutdown).await;
        // Requests are served meanwhile: a session that goes by polling collects its last events.
        app.running.close();
        let _ = tokio::time::timeout(FAREWELL, app.running.wait()).await;
        phase.send_replace(Phase::Stopping);
    }
}

/// Returns the router of all pages.
fn router(app: &Arc<App>, socket_io: socketio::SocketIo) -> Router {
    let cors = middleware::from_fn_with_state(app.clone(), cors::cors);
    let socket_io = Router::new()
        .route("/socket.io/", any(socketio::serve))
        .route("/socket.io", any(socketio::serve))
        .with_state(Arc::new(socket_io))
        .layer(cors.clone());
    let api = Router::new()
        .route("/api/v1/ice-servers", get(rest::ice_servers))
        .route("/api/v1/calls", get(rest::calls::calls))
        .route("/api/v1/calls/{id}", get(rest::calls::call).delete(rest::calls::hang_up))
        .route("/api/v1/calls/{id}/trace", get(rest::traces::trace))
        .route("/api/v1/tokens", post(tokens::mint))
        .route(
            "/api/v1/faults",
            get(rest::faults::faults)
                .put(rest::faults::set_faults)
                .delete(rest::faults::end_faults),
        )
        .route("/api/v1/asyncapi.json", get(documents::asyncapi))
        .route("/api/v1/openapi.json", get(documents::openapi))
        .route_layer(middleware::from_fn(rest::no_parameters))
        .route("/api/v1/sessions", get(rest::sessions::sessions).delete(rest::sessions::kick))
        .method_not_allowed_fallback(rest::method_not_allowed)
        .layer(middleware::map_response(no_store))
        .layer(cors);
    let mut router = Router::new()
        .route("/ws", any(ws::upgrade))
        .route("/callbox.js", get(client::module))
        .route("/healthz", get(rest::health::health))
        .route("/readyz", get(rest::health::ready))
        .route("/metrics", get(metrics::page));
    if app.dev {
        let dev = Router::new()
            .route("/", get(dev::page))
            .route("/app.js", get(dev::script))
            .route("/style.css", get(dev::style))
            .route("/dev/online", get(dev::online).layer(middleware::map_response(no_store)))
            .route("/dev/token", post(dev::token).layer(middleware::map_response(no_store)))
            .layer(middleware::from_fn(dev::loopback_host));
        router = router.merge(dev);
    }
    router
        .merge(api)
        .method_not_allowed_fallback(rest::method_not_allowed)
        .fallback(rest::not_found)
        .layer(middleware::from_fn(in_time))
        .merge(socket_io)
        .layer(DefaultBodyLimit::max(app.max_message))
        .with_state(app.clone())
}

/// Answers a request whose body does not arrive in time.
async fn in_time(request: Request, next: Next) -> Result<Response, ApiError> {
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.map_err(|_| {
        let message = "The body of the request did not come in time.";
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    })
}

/// Forbids caches to store answers with credentials.
async fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
