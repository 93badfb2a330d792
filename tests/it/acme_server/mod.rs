//! A CA for the tests, which speaks ACME (RFC 8555) and takes it seriously: what a client may not do
//! is refused, and noted as a complaint. It looks at challenges of the type tls-alpn-01 (RFC 8737) by
//! connecting to where a test says that the names lead.

mod answers;
mod ca;
mod http;
mod jws;
mod resources;
pub mod tls;
mod validate;
pub mod world;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use self::{ca::Ca, resources::Order};
use crate::common::DEADLINE;

/// What a server does wrong, or does not want to do, once.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It has forgotten the nonce.
    BadNonce,
    /// There have been too many requests, for so many seconds.
    RateLimited(u64),
    /// It does not issue for such a name.
    Refuse,
    /// It does not know the account.
    NoAccount,
    /// A proxy in front of it cannot reach it.
    BadGateway,
}

/// The running server. Its threads end with the tests.
pub struct AcmeServer {
    shared: Arc<Shared>,
    dir: tempfile::TempDir,
}

struct Shared {
    /// Where it is, without a path.
    base: String,
    ca: Ca,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    /// By URL.
    accounts: HashMap<String, Account>,
    orders: Vec<Order>,
    issued: Vec<String>,
    /// Where names lead to, and how often that may be looked at.
    target: Option<(SocketAddr, usize)>,
    /// What goes wrong next, by resource.
    faults: VecDeque<(&'static str, Fault)>,
    /// How long the next certificates have been valid and will be; ninety days if nothing is said.
    lifetimes: VecDeque<(Duration, Duration)>,
    /// Which resources were asked for, and when.
    requests: Vec<(&'static str, Instant)>,
    complaints: Vec<String>,
}

struct Account {
    /// The public key, as a point that is not compressed.
    key: Vec<u8>,
    thumbprint: String,
    contact: Vec<String>,
}

impl AcmeServer {
    pub fn start() -> Self {
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

    pub fn directory(&self) -> String {
        format!("{}/directory", self.shared.base)
    }

    /// The file with the root that its own certificate and all others lead to.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    /// Lets names lead there from now on, for as many looks.
    pub fn validate_at(&self, target: &str, times: usize) {
        self.state().target = Some((target.parse().unwrap(), times));
        self.shared.changed.notify_all();
    }

    /// The next request for this resource goes wrong.
    pub fn fail(&self, resource: &'static str, fault: Fault) {
        self.state().faults.push_back((resource, fault));
    }

    /// The next certificate has been valid for so long, and will be for so long.
    pub fn next_lifetime(&self, since: Duration, until: Duration) {
        self.state().lifetimes.push_back((since, until));
    }

    /// How often something was asked for.
    pub fn count(&self, resource: &str) -> usize {
        self.times(resource).len()
    }

    /// When something was asked for.
    pub fn times(&self, resource: &str) -> Vec<Instant> {
        let state = self.state();
        let requests = state.requests.iter().filter(|(name, _)| *name == resource);
        requests.map(|(_, at)| *at).collect()
    }

    /// The e-mail addresses of the accounts there are.
    pub fn contacts(&self) -> Vec<Vec<String>> {
        self.state().accounts.values().map(|account| account.contact.clone()).collect()
    }

    /// Waits until something was asked for so often.
    pub fn wait_for(&self, resource: &str, times: usize) {
        let enough = |state: &State| {
            state.requests.iter().filter(|(name, _)| *name == resource).count() >= times
        };
        drop(self.shared.wait(&format!("{times} × {resource}"), enough));
    }

    /// What the client did that it may not do.
    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Shared {
    /// Waits until the state is so.
    fn wait(&self, what: &str, mut enough: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap();
        let waiting = |state: &mut State| !enough(state);
        let (state, timeout) = self.changed.wait_timeout_while(state, DEADLINE, waiting).unwrap();
        assert!(!timeout.timed_out(), "waited in vain for {what}");
        state
    }
}
