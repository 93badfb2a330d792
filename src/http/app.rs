//! The state that every request handler can reach.

use std::sync::{Arc, Mutex};

use callbox_base::{addresses::Networks, clock::Now, ids::SessionId};
use callbox_signaling::{
    ErrorCode, RequestError,
    jwt::{Identity, TokenMinter},
};
use callbox_turn::Snapshot;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{
    Config, arrival::Remote, authenticator::Authenticator, counters::Counters, faults::Faults,
    hub_task::HubHandle, memory::Memory, origins::Origins, relay_orders::KickFromRelay,
    server_name::OwnNames,
};
use crate::{http::ApiKeys, reports, trace::Traces};

/// Reads the relay's counters for the metrics page.
pub type RelayMetrics = Box<dyn Fn() -> Snapshot + Send + Sync>;

/// Returns true if the relay serves all its clients; for `/readyz`.
pub type RelayIsWhole = Box<dyn Fn() -> bool + Send + Sync>;

/// Reads the counters of reports of calls for the metrics page.
pub type ReportMetrics = Box<dyn Fn() -> reports::Snapshot + Send + Sync>;

/// Reads the end of the certificate's validity for the metrics page, in seconds since 1970.
pub type CertificateExpiry = Box<dyn Fn() -> u64 + Send + Sync>;

/// The sources of what the app does not know itself.
pub(super) struct Sources {
    pub relay_metrics: RelayMetrics,
    pub relay_is_whole: RelayIsWhole,
    pub kick_from_relay: KickFromRelay,
    /// The traces of calls, if there are any.
    pub traces: Option<Arc<Traces>>,
    pub report_metrics: ReportMetrics,
    pub certificate_expiry: Option<CertificateExpiry>,
}

/// The state of the app.
pub(super) struct App {
    pub hub: HubHandle,
    pub authenticator: Authenticator,
    pub api_keys: ApiKeys,
    pub origins: Origins,
    /// The reverse proxies that are believed about their clients' addresses.
    pub trusted_proxies: Networks,
    pub max_message: usize,
    pub counters: Arc<Counters>,
    /// The memory that requests hold.
    pub request_memory: Memory,
    pub sources: Sources,
    /// The control of faults, if any are allowed.
    pub faults: Option<Arc<Faults>>,
    /// Signs tokens, where there is a secret for it.
    pub minter: Option<TokenMinter>,
    /// True in `--dev`, where anyone can get a token.
    pub dev: bool,
    /// The phase of the server's life.
    pub phase: watch::Receiver<Phase>,
    /// The tasks that a graceful stop waits for.
    pub running: TaskTracker,
    session_ids: Mutex<StdRng>,
}

/// The phases of the server's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Clients are accepted.
    Serving,
    /// Sessions end and no new client is accepted; `/readyz` reports that.
    Draining,
    /// Connections end.
    Stopping,
}

impl App {
    pub(super) fn new(
        config: Config,
        own_names: OwnNames,
        hub: HubHandle,
        counters: Arc<Counters>,
        sources: Sources,
        faults: Option<Arc<Faults>>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            hub,
            authenticator: Authenticator::start(config.tokens, config.key_source),
            api_keys: config.api_keys,
            origins: Origins::new(config.allow_origins, own_names),
            trusted_proxies: config.trusted_proxies,
            max_message: config.max_message,
            counters,
            request_memory: Memory::new(config.max_request_memory),
            sources,
            faults,
            minter: config.minter,
            dev: config.dev,
            phase,
            running: TaskTracker::new(),
            session_ids: Mutex::new(StdRng::from_os_rng()),
        }
    }

    /// Authenticates the bearer of a token, and counts a refusal.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn authenticate(
        &self,
        remote: Remote,
        token: &str,
    ) -> Result<Identity, RequestError> {
        let identity = self.authenticator.identify(remote, token).await;
        identity.inspect_err(|error| self.counters.errors(error.code).add())
    }

    /// Creates and counts an error that the HTTP side detects itself.
    pub(super) fn refuse(&self, code: ErrorCode, message: impl Into<String>) -> RequestError {
        self.counters.errors(code).add();
        RequestError::new(code, message)
    }

    /// Generates the id of a session.
    pub(super) fn session_id(&self) -> SessionId {
        let mut random = self.session_ids.lock().expect("making an id does not panic");
        SessionId::generate(Now::read().unix_ms(), &mut *random)
    }

    /// Fills bytes with unpredictable random values.
    pub(super) fn random(&self, bytes: &mut [u8]) {
        self.session_ids.lock().expect("filling does not panic").fill_bytes(bytes);
    }

    /// Returns true if the server is about to stop.
    pub(super) fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Completes once the server has reached this phase.
    pub(super) fn wait_for(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut current = self.phase.clone();
        async move {
            // An error means that the server is gone, which is later than any phase.
            let _ = current.wait_for(|current| *current >= phase).await;
        }
    }
}
