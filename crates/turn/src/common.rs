//! What the workers of one server have in common.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use rand::{RngCore, TryRngCore, rngs::OsRng};

use super::{
    Config, Quartet, RelayAddresses, Shared, relayed::Relayed, reply_limit::ReplyLimit,
    signaled_policy::Announcements,
};
use crate::auth::TurnAuth;

/// Settings, addresses, users and the shared state: the same for every worker. What changes is
/// [`Shared`], which relayed ports are open, which addresses the machine has, what the sides of calls
/// have announced, and how many answers addresses have had.
#[derive(Debug, Clone)]
pub struct Common {
    pub(super) config: Arc<Config>,
    pub(super) addresses: Arc<RelayAddresses>,
    pub(super) auth: Arc<TurnAuth>,
    pub(super) shared: Arc<Shared>,
    pub(super) relayed: Arc<Relayed>,
    pub(super) announcements: Arc<Announcements>,
    pub(super) reply_limit: Arc<ReplyLimit>,
    pub(super) quartet: Option<Quartet>,
}

impl Common {
    /// For a server that listens on `listeners`, whose order gives [`Via::Listener`](super::Via::Listener).
    pub fn new(config: Config, auth: TurnAuth, listeners: Vec<SocketAddr>) -> Self {
        let addresses = RelayAddresses::new(&config, listeners);
        let shared = Shared::new(&config, &addresses);
        let relayed = Relayed::new(addresses.relay_ips());
        let key = OsRng.unwrap_err().next_u64();
        let reply_limit = ReplyLimit::new(Instant::now(), config.max_unauthenticated_replies, key);
        Self {
            config: Arc::new(config),
            addresses: Arc::new(addresses),
            auth: Arc::new(auth),
            shared: Arc::new(shared),
            relayed: Arc::new(relayed),
            announcements: Arc::default(),
            reply_limit: Arc::new(reply_limit),
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

    /// Whether clients may move (RFC 8016).
    pub fn is_mobile(&self) -> bool {
        self.config.mobility
    }

    /// A side of a live call has told another, `to`, at which addresses it is: the other's allocations
    /// may have permissions for them from now on, where [`Config::signaled_peers`] is set. It ends
    /// with the call; nothing may be announced after that.
    pub fn announce(&self, call: CallId, by: &UserId, to: &UserId, ips: &[IpAddr]) {
        if self.config.signaled_peers {
            self.announcements.add(call, by, to, ips);
        }
    }

    /// Refuses a user's credentials for a call that goes on, for the `ttl` after which none of them is
    /// left, or until the user is let in. Returns the users of the call's sides, as far as they have
    /// announced anything, for [`Engine::revoke_user`](super::Engine::revoke_user) on every worker, which is to
    /// follow.
    #[must_use]
    pub fn revoke_user(
        &self,
        now: Now,
        call: CallId,
        user: &UserId,
        ttl: Duration,
    ) -> Arc<[UserId]> {
        let sides = self.announcements.forget(call, user);
        let until = now.unix_secs() + ttl.as_secs();
        self.shared.revoke_user(call, user.as_str(), until, now.unix_secs());
        sides
    }

    /// Takes a user's credentials for a call again.
    pub fn readmit_user(&self, call: CallId, user: &UserId) {
        self.shared.readmit_user(call, user.as_str());
    }

    /// Refuses a user's credentials: see [`Shared::kick`]. Says whether the user has allocations: then
    /// it is to be followed by [`Engine::kick`](super::Engine::kick) on every worker.
    #[must_use]
    pub fn kick(&self, now: Now, user: &UserId, ttl: Duration, ban: Option<Duration>) -> bool {
        self.shared.kick(now, user.as_str(), ttl, ban)
    }

    /// A user who was kicked is let in again, with new credentials.
    pub fn lift_kick(&self, user: &UserId) {
        self.shared.lift_kick(user.as_str());
    }

    /// Refuses the credentials of a call from now on, for the `ttl` after which none of them is
    /// left. If the call or one of its users has allocations, returns the users of the call's sides, as
    /// far as they have announced anything, for [`Engine::end_call`](super::Engine::end_call) on every
    /// worker, which is to follow.
    #[must_use]
    pub fn end_call(&self, now: Now, call: CallId, ttl: Duration) -> Option<Arc<[UserId]>> {
        let sides = self.announcements.end(call);
        let until = now.unix_secs() + ttl.as_secs();
        let concerned = self.shared.end_call(call, &sides, until, now.unix_secs());
        concerned.then_some(sides)
    }
}
