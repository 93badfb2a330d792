//! The state that every request handler can reach.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use callbox_base::{
    addresses::Networks,
    clock::Now,
    ids::{CallId, SessionId, UserId},
};
use callbox_signaling::jwt::{TokenMinter, TokenVerifier};
use callbox_turn::Snapshot;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::sync::{Notify, watch};

use super::{
    Config, counters::Counters, hub_task::HubHandle, key_set::KeySet, memory::Memory,
    origins::Origins, refused::RefusedLog, server_name::OwnNames,
};
use crate::{http::ApiKeys, reports};

/// Reads the relay's counters for the metrics page.
pub type RelayMetrics = Box<dyn Fn() -> Snapshot + Send + Sync>;

/// Returns true if the relay serves all its clients; for `/readyz`.
pub type RelayIsWhole = Box<dyn Fn() -> bool + Send + Sync>;

/// Makes the relay close what a user has: everything, or what is for no call and for these calls.
/// The user's credentials are refused once this returns; the result is the number of allocations
/// that were closed, once they are.
pub type KickFromRelay = Arc<dyn Fn(Now, &UserId, Option<&[CallId]>) -> Counted + Send + Sync>;

/// A number that is known later.
pub type Counted = Pin<Box<dyn Future<Output = usize> + Send>>;

/// Reads the counters of reports of calls for the metrics page.
pub type ReportMetrics = Box<dyn Fn() -> reports::Snapshot + Send + Sync>;

/// Reads the end of the certificate's validity for the metrics page, in seconds since 1970.
pub type CertificateExpiry = Box<dyn Fn() -> u64 + Send + Sync>;

/// The sources of what the app does not know itself.
pub(super) struct Sources {
    pub relay_metrics: RelayMetrics,
    pub relay_is_whole: RelayIsWhole,
    pub kick_from_relay: KickFromRelay,
    pub report_metrics: ReportMetrics,
    pub certificate_expiry: Option<CertificateExpiry>,
}

/// The state of the app.
pub(super) struct App {
    pub hub: HubHandle,
    pub tokens: TokenVerifier,
    /// The keys that the issuer of tokens publishes, if it does.
    pub key_set: Option<KeySet>,
    pub api_keys: ApiKeys,
    pub origins: Origins,
    /// The reverse proxies that are believed about their clients' addresses.
    pub trusted_proxies: Networks,
    pub max_message: usize,
    pub counters: Arc<Counters>,
    /// The memory that requests hold.
    pub request_memory: Memory,
    pub refused: RefusedLog,
    pub sources: Sources,
    /// Signs tokens, where there is a secret for it.
    pub minter: Option<TokenMinter>,
    /// True in `--dev`, where anyone can get a token.
    pub dev: bool,
    /// The phase of the server's life.
    pub phase: watch::Receiver<Phase>,
    /// Counts the sessions that a graceful stop waits for.
    pub running: Tracker,
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

/// Counts the sessions that a graceful stop waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracker(Arc<Tracked>);

#[derive(Debug, Default)]
struct Tracked {
    count: AtomicUsize,
    idle: Notify,
}

/// A guard that a graceful stop waits for until it is dropped.
#[derive(Debug)]
pub(super) struct Running(Arc<Tracked>);

impl Tracker {
    /// Adds one to wait for, until the result is dropped.
    pub fn enter(&self) -> Running {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Running(self.0.clone())
    }

    /// Returns when there is nothing to wait for.
    pub async fn idle(&self) {
        loop {
            let idle = self.0.idle.notified();
            let mut idle = std::pin::pin!(idle);
            // A guard that is dropped between the check and the wait must not be missed.
            idle.as_mut().enable();
            if self.0.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl App {
    pub fn new(
        config: Config,
        own_names: OwnNames,
        hub: HubHandle,
        counters: Arc<Counters>,
        sources: Sources,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            hub,
            tokens: config.tokens,
            key_set: config.key_source.map(KeySet::start),
            api_keys: config.api_keys,
            origins: Origins::new(config.allow_origins, own_names),
            trusted_proxies: config.trusted_proxies,
            max_message: config.max_message,
            counters,
            request_memory: Memory::new(config.max_request_memory),
            refused: RefusedLog::default(),
            sources,
            minter: config.minter,
            dev: config.dev,
            phase,
            running: Tracker::default(),
            session_ids: Mutex::new(StdRng::from_os_rng()),
        }
    }

    /// Generates the id of a session.
    pub fn session_id(&self) -> SessionId {
        let mut random = self.session_ids.lock().expect("making an id does not panic");
        SessionId::generate(Now::read().unix_ms(), &mut *random)
    }

    /// Fills bytes with unpredictable random values.
    pub fn random(&self, bytes: &mut [u8]) {
        self.session_ids.lock().expect("filling does not panic").fill_bytes(bytes);
    }

    /// Returns true if the server is about to stop.
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Completes once the server has reached this phase.
    pub fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut current = self.phase.clone();
        async move {
            // An error means that the server is gone, which is later than any phase.
            let _ = current.wait_for(|current| *current >= phase).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tracker_is_idle_when_all_guards_are_dropped() {
        let tracker = Tracker::default();
        tracker.idle().await;
        let (first, second) = (tracker.enter(), tracker.enter());
        let waiting = tokio::spawn({
            let tracker = tracker.clone();
            async move { tracker.idle().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
