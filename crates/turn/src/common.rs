//! The state that the workers of one server share.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    clock::Now,
    faults::Selector,
    ids::{CallId, PeerAddr, UserId},
};
use callbox_stun::ErrorCode;
use ipnet::IpNet;
use rand::{RngCore, TryRngCore, rngs::OsRng};

use super::{
    Config, Quartet, RelayAddresses, Shared,
    faults::ExpiredCredentials,
    own_addresses::{self, Ports},
    relayed::Relayed,
    reply_limit::ReplyLimit,
    signaled_policy::{self, Announcements, SignaledScope},
    transport::Transport,
};
use crate::auth::{TurnAuth, TurnIdentity};

/// The state that the engines of one server share: settings, addresses, users, quotas, ports, calls
/// that are over, and announced addresses. A clone is another handle to the same state.
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
    /// The credentials that are over before their time, for tests.
    pub(super) expired: Arc<ExpiredCredentials>,
}

impl Common {
    /// Makes the state of a server that listens on `listeners`, with real ports. A listener's index
    /// in the list is its number in [`Via::Listener`](crate::Via::Listener). Reads the clock once,
    /// for the reply limit, and takes a key for it from the system's random source.
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
            expired: Arc::default(),
        }
    }

    /// Turns on NAT behaviour discovery (RFC 5780) on four of the listeners.
    pub fn with_discovery(self, quartet: Quartet) -> Self {
        Self { quartet: Some(quartet), ..self }
    }

    /// Returns the server's own addresses.
    pub fn addresses(&self) -> &RelayAddresses {
        &self.addresses
    }

    /// Returns true if clients may move (RFC 8016).
    pub fn is_mobile(&self) -> bool {
        self.config.mobility
    }

    /// Returns true if the steps of traces are told.
    pub fn is_traced(&self) -> bool {
        self.config.trace
    }

    /// Lets the allocations of `to` have permissions for the addresses `ips`, which the side `by`
    /// of a live call has announced to it, where [`Config::signaled_peers`] is set. Of each side
    /// the latest 64 count. They are forgotten with the call; nothing may be announced for it after
    /// that.
    pub fn announce(&self, call: CallId, by: &UserId, to: &UserId, ips: &[IpAddr]) {
        if self.config.signaled_peers {
            self.announcements.add(call, by, to, ips);
        }
    }

    /// Refuses a user's credentials for a call that goes on: for `ttl`, after which the last of
    /// them has expired, or until [`Common::readmit_user`]. Returns the users of the call's sides,
    /// as far as they have announced anything, for
    /// [`Engine::revoke_user`](crate::Engine::revoke_user), which is to be called on every worker
    /// next.
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

    /// Accepts a user's credentials for a call again, after [`Common::revoke_user`].
    pub fn readmit_user(&self, call: CallId, user: &UserId) {
        self.shared.readmit_user(call, user.as_str());
    }

    /// Refuses the credentials that were made for a user until now: those that are for no call, and
    /// with `ban` also those for calls. `ttl` is how long credentials live. With `ban`, every other
    /// one of the user is refused for so long, too, or until [`Common::lift_kick`]. Returns true if
    /// the user has allocations; then call [`Engine::kick`](crate::Engine::kick) on every worker.
    #[must_use]
    pub fn kick(&self, now: Now, user: &UserId, ttl: Duration, ban: Option<Duration>) -> bool {
        self.shared.kick(now, user.as_str(), ttl, ban)
    }

    /// Lets a user who was kicked in again, with credentials that are made from now on.
    pub fn lift_kick(&self, user: &UserId) {
        self.shared.lift_kick(user.as_str());
    }

    /// Refuses the credentials of a call from now on, for `ttl`, after which the last of them has
    /// expired. If the call or one of its users has allocations, returns the users of the call's
    /// sides, as far as they have announced anything, for
    /// [`Engine::end_call`](crate::Engine::end_call), which is to be called on every worker next.
    #[must_use]
    pub fn end_call(&self, now: Now, call: CallId, ttl: Duration) -> Option<Arc<[UserId]>> {
        let sides = self.announcements.end(call);
        let until = now.unix_secs() + ttl.as_secs();
        let concerned = self.shared.end_call(call, &sides, until, now.unix_secs());
        concerned.then_some(sides)
    }

    /// Lets the credentials of `selector` that were made until now and live for `ttl` be over, for
    /// tests: from now on every request with them is refused with 401, also those for allocations
    /// that are open. The credentials of static users do not expire.
    pub fn expire_credentials(&self, now: Now, selector: &Selector, ttl: Duration) {
        self.expired.add(now, selector, now.unix_secs().saturating_add(ttl.as_secs()));
    }

    /// Takes over the networks whose packets the machine takes for itself now: they are no peers,
    /// but for open relayed addresses. Returns true if they are others than before; then call
    /// [`Engine::addresses_changed`](crate::Engine::addresses_changed) on every worker.
    #[must_use]
    pub fn set_machine_addresses(&self, networks: Vec<IpNet>) -> bool {
        self.addresses.replace_machine_networks(networks)
    }

    /// Checks a peer that an allocation of `owner` is to send to, and returns its address on the
    /// wire.
    ///
    /// # Errors
    /// 403 if nothing may be sent there.
    pub(super) fn check_peer(
        &self,
        owner: &TurnIdentity,
        peer: PeerAddr,
        transport: Transport,
    ) -> Result<SocketAddr, ErrorCode> {
        let scope = self.signaled_scope(owner, peer.0.ip())?;
        let Self { config, addresses, relayed, .. } = self;
        own_addresses::check_peer(addresses, &config.peers, relayed, peer, scope, transport)
    }

    /// Checks that an allocation of `owner` may have a permission for an address.
    ///
    /// # Errors
    /// 403 if nothing may be sent there.
    pub(super) fn check_permission(
        &self,
        owner: &TurnIdentity,
        ip: IpAddr,
    ) -> Result<(), ErrorCode> {
        own_addresses::permitted_ports(&self.addresses, &self.config.peers, ip)?;
        self.signaled_scope(owner, ip).map(drop)
    }

    /// Returns true if an address may be reached as one of the server's own only, if at all.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        own_addresses::permitted_ports(&self.addresses, &self.config.peers, ip) != Ok(Ports::Any)
    }

    /// Returns true if the allocations of `owner` reach no more of `ip` than open relayed ports,
    /// since no other side has announced it.
    pub(super) fn lacks_announcement(&self, owner: &TurnIdentity, ip: IpAddr) -> bool {
        self.signaled_scope(owner, ip) != Ok(SignaledScope::Any)
    }

    fn signaled_scope(&self, owner: &TurnIdentity, ip: IpAddr) -> Result<SignaledScope, ErrorCode> {
        if !self.config.signaled_peers {
            return Ok(SignaledScope::Any);
        }
        signaled_policy::scope(&self.announcements, &self.addresses, owner, ip)
    }
}
