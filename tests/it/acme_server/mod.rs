//! A CA for the tests that checks ACME (RFC 8555) strictly: it refuses each violation by a client
//! and records it as a complaint. It validates challenges of the type tls-alpn-01 (RFC 8737) at an
//! address that a test sets for all names.

mod answers;
mod ca;
mod http;
mod jws;
mod resources;
pub(crate) mod tls;
mod validate;
pub(crate) mod world;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use self::{ca::Ca, resources::Order};
use crate::common::DEADLINE;

/// A single failure of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The server does not know the nonce.
    BadNonce,
    /// Too many requests; the client is to wait this many seconds.
    RateLimited(u64),
    /// The server does not issue certificates for the name.
    Refuse,
    /// The server does not know the account.
    NoAccount,
    /// A proxy in front of the server cannot reach it.
    BadGateway,
}

/// The running server. Its threads end with the test process.
pub(crate) struct AcmeServer {
    shared: Arc<Shared>,
    dir: tempfile::TempDir,
}

struct Shared {
    /// The base URL, without a path.
    base: String,
    ca: Ca,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    /// The accounts by URL.
    accounts: HashMap<String, Account>,
    orders: Vec<Order>,
    issued: Vec<String>,
    /// The address that all names resolve to, and the number of validations left.
    target: Option<(SocketAddr, usize)>,
    /// The next failures, by resource.
    faults: VecDeque<(&'static str, Fault)>,
    /// The age and the remaining lifetime of the next certificates; ninety days are left if there
    /// is no entry.
    lifetimes: VecDeque<(Duration, Duration)>,
    /// The requested resources and the times of the requests.
    requests: Vec<(&'static str, Instant)>,
    complaints: Vec<String>,
}

struct Account {
    /// The public key as an uncompressed point.
    key: Vec<u8>,
    thumbprint: String,
    contact: Vec<String>,
}

impl AcmeServer {
    pub(crate) fn start() -> Self {
        let ca = Ca::new();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("root.pem"), ca.root_pem()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { base, ca, state, changed });
        http::serve(listener, shared.clone());
        Self { shared, dir }
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}/directory", self.shared.base)
    }

    /// Returns the file with the root of its own certificate and of all issued ones.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    /// Makes all names resolve to this address from now on, for this number of validations.
    pub(crate) fn validate_at(&self, target: &str, times: usize) {
        self.state().target = Some((target.parse().unwrap(), times));
        self.shared.changed.notify_all();
    }

    /// Makes the next request for this resource fail.
    pub(crate) fn fail(&self, resource: &'static str, fault: Fault) {
        self.state().faults.push_back((resource, fault));
    }

    /// Sets the age and the remaining lifetime of the next certificate.
    pub(crate) fn next_lifetime(&self, since: Duration, until: Duration) {
        self.state().lifetimes.push_back((since, until));
    }

    /// Returns the number of requests for a resource.
    pub(crate) fn count(&self, resource: &str) -> usize {
        self.times(resource).len()
    }

    /// Returns the times of the requests for a resource.
    pub(crate) fn times(&self, resource: &str) -> Vec<Instant> {
        let state = self.state();
        let requests = state.requests.iter().filter(|(name, _)| *name == resource);
        requests.map(|(_, at)| *at).collect()
    }

    /// Returns the e-mail addresses of each account.
    pub(crate) fn contacts(&self) -> Vec<Vec<String>> {
        self.state().accounts.values().map(|account| account.contact.clone()).collect()
    }

    /// Waits until there were this many requests for a resource.
    pub(crate) fn wait_for(&self, resource: &str, times: usize) {
        let enough = |state: &State| {
            state.requests.iter().filter(|(name, _)| *name == resource).count() >= times
        };
        drop(self.shared.wait(&format!("{times} × {resource}"), enough));
    }

    /// Returns the violations of the protocol by the client.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Shared {
    /// Waits until the state satisfies a condition.
    fn wait(&self, what: &str, mut enough: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap();
        let waiting = |state: &mut State| !enough(state);
        let (state, timeout) = self.changed.wait_timeout_while(state, DEADLINE, waiting).unwrap();
        assert!(!timeout.timed_out(), "waited in vain for {what}");
        state
    }
}
