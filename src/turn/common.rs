//! What the workers of one server have in common.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{Config, Quartet, RelayAddresses, Shared, relayed::Relayed};
use crate::{auth::TurnAuth, clock::Now, ids::CallId};

/// Settings, addresses, users and the shared state: the same for every worker. Only [`Shared`] ever
/// changes, and which relayed ports are open.
#[derive(Debug, Clone)]
pub struct Common {
    pub(super) config: Arc<Config>,
    pub(super) addresses: Arc<RelayAddresses>,
    pub(super) auth: Arc<TurnAuth>,
    pub(super) shared: Arc<Shared>,
    pub(super) relayed: Arc<Relayed>,
    pub(super) quartet: Option<Quartet>,
}

impl Common {
    /// For a server that listens on `listeners`, whose order gives [`Via::Listener`](super::Via::Listener).
    pub fn new(config: Config, auth: TurnAuth, listeners: Vec<SocketAddr>) -> Self {
        let addresses = RelayAddresses::new(&config, listeners);
        let shared = Shared::new(&config, &addresses);
        let relayed = Relayed::new(addresses.relay_ips());
        Self {
            config: Arc::new(config),
            addresses: Arc::new(addresses),
            auth: Arc::new(auth),
            shared: Arc::new(shared),
            relayed: Arc::new(relayed),
            quartet: None,
        }
    }

    /// The same with NAT behaviour discovery (RFC 5780) on four of the listeners.
    pub fn with_discovery(self, quartet: Quartet) -> Self {
        Self { quartet: Some(quartet), ..self }
    }

    /// The server's own addresses.
    pub fn addresses(&self) -> &RelayAddresses {
        &self.addresses
    }

    /// Refuses the credentials of a call from now on, for the `ttl` after which none of them is
    /// left. To be followed by [`Engine::end_call`](super::Engine::end_call) on every worker.
    pub fn end_call(&self, now: Now, call: CallId, ttl: Duration) {
        self.shared.end_call(call, now.unix_secs() + ttl.as_secs(), now.unix_secs());
    }
}
