//! The state that the workers must share: quotas, ports, reservations, the calls that use the
//! relay, and refused credentials.
//!
//! One lock, taken when an allocation opens or closes and when a call ends: never for a packet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use callbox_stun::{ErrorCode, EvenPort};
use rand::Rng;

use super::{
    Config, RelayAddresses, RelayIp,
    meter::{Meter, Rates},
    quotas::Quotas,
    relay_ports::{RelayPorts, ReservationToken, Taken},
    revocation::Revocations,
};
use crate::auth::TurnIdentity;

/// The state that all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    user_rates: Rates,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    quotas: Quotas,
    ports: RelayPorts,
    /// The number of allocations of each call that has any.
    calls: HashMap<CallId, usize>,
    revocations: Revocations,
}

impl Shared {
    /// Makes the state for one server.
    pub(crate) fn new(config: &Config, addresses: &RelayAddresses) -> Self {
        Self {
            user_rates: Rates::new(config.max_bandwidth_per_user, config.max_packet_rate_per_user),
            state: Mutex::new(State {
                quotas: Quotas::new(config),
                ports: RelayPorts::new(config, addresses),
                calls: HashMap::new(),
                revocations: Revocations::default(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change below is whole before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a port for one allocation, and counts it against the quotas.
    ///
    /// # Errors
    /// 486 over the user's quota, 508 over the server's or without a port that fits.
    pub(super) fn take(
        &self,
        rng: &mut impl Rng,
        user: &Arc<str>,
        ip: RelayIp,
        even: Option<EvenPort>,
    ) -> Result<Taken, ErrorCode> {
        let State { quotas, ports, .. } = &mut *self.state();
        // A reserved port counts like an allocation: it is as scarce.
        let wanted = if even.is_some_and(|even| even.reserve_next) { 2 } else { 1 };
        quotas.check(user, wanted)?;
        let taken = ports.take(rng, user, ip, even)?;
        quotas.add(user, wanted);
        Ok(taken)
    }

    /// Takes the port that was reserved under `token`, which has been counted.
    ///
    /// # Errors
    /// 508 if there is none, or if it is another user's (RFC 8656 §7.2).
    pub(super) fn redeem(
        &self,
        token: ReservationToken,
        user: &Arc<str>,
    ) -> Result<Taken, ErrorCode> {
        self.state().ports.redeem(token, user)
    }

    /// Gives back the port that is reserved under `token`, if it still is.
    pub(super) fn expire(&self, token: ReservationToken) {
        let State { quotas, ports, .. } = &mut *self.state();
        if let Some(user) = ports.expire(token) {
            quotas.release(&user);
        }
    }

    /// Exchanges a port that something else on this machine has for another one of its kind. The
    /// port that is reserved with it moves along, under the same token.
    pub(super) fn exchange(
        &self,
        rng: &mut impl Rng,
        taken: Taken,
        even: Option<EvenPort>,
    ) -> Option<u16> {
        self.state().ports.exchange(rng, taken, even)
    }

    /// Gives back the port of an allocation, and counts one less.
    pub(super) fn release(&self, user: &Arc<str>, ip: RelayIp, port: u16) {
        let State { quotas, ports, .. } = &mut *self.state();
        quotas.release(user);
        ports.give_back(ip, port);
    }

    /// Returns the buckets that all allocations of a user draw from, if they have a limit together:
    /// asked for when one opens, and used by them without a lock from then on.
    pub(super) fn meter(&self, now: Instant, user: &Arc<str>) -> Option<Arc<Meter>> {
        let new = Meter::new(self.user_rates, now)?;
        self.state().quotas.meter(user, new)
    }

    /// Counts a connection to a peer.
    ///
    /// # Errors
    /// 486 if the user has too many, 508 if there are too many in all.
    pub(super) fn take_connection(&self, user: &Arc<str>) -> Result<(), ErrorCode> {
        self.state().quotas.add_connection(user)
    }

    /// Counts one connection less. The user's allocation is still there.
    pub(super) fn release_connection(&self, user: &Arc<str>) {
        self.state().quotas.release_connection(user);
    }

    /// Refuses the credentials of a call from now on, until `until` (seconds since 1970), when the
    /// last of them has expired. Returns true if the call has allocations, which are to be closed,
    /// or one of its `sides` has any, which may reach less now; none is opened for the call any
    /// more.
    #[must_use]
    pub(crate) fn end_call(&self, call: CallId, sides: &[UserId], until: u64, now: u64) -> bool {
        let mut state = self.state();
        state.revocations.end_call(call, until, now);
        state.calls.contains_key(&call)
            || sides.iter().any(|user| state.quotas.has_any(user.as_str()))
    }

    /// Counts an allocation that is opened for a call, if it is for one, unless these credentials
    /// open nothing any more: then returns false.
    #[must_use]
    pub(super) fn serve(&self, now: Now, identity: &TurnIdentity) -> bool {
        let mut state = self.state();
        let may = !state.revocations.is_revoked(now, identity);
        if may && let Some(call) = identity.call {
            *state.calls.entry(call).or_default() += 1;
        }
        may
    }

    /// Counts an allocation of a call that is closed.
    pub(super) fn leave_call(&self, call: CallId) {
        let calls = &mut self.state().calls;
        if let Some(count) = calls.get_mut(&call) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&call);
                if calls.is_empty() {
                    calls.shrink_to_fit();
                }
            }
        }
    }

    /// Refuses the credentials of one user of a call that goes on until `until` (seconds since
    /// 1970), unless the user is readmitted.
    pub(crate) fn revoke_user(&self, call: CallId, user: &str, until: u64, now: u64) {
        self.state().revocations.revoke_user(call, user, until, now);
    }

    /// Accepts the user's credentials for the call again.
    pub(crate) fn readmit_user(&self, call: CallId, user: &str) {
        self.state().revocations.readmit_user(call, user);
    }

    /// Refuses the credentials that were made for a user until now and live for `ttl`: those that
    /// are for no call, and with `ban` also those for calls. With `ban`, every other one of the
    /// user is refused for so long, too, unless the user is readmitted. Returns true if the user
    /// has allocations.
    #[must_use]
    pub(crate) fn kick(&self, now: Now, user: &str, ttl: Duration, ban: Option<Duration>) -> bool {
        let user: Arc<str> = user.into();
        let mut state = self.state();
        state.revocations.kick(now, &user, ttl, ban);
        state.quotas.has_any(&user)
    }

    /// Readmits a user who was kicked, with new credentials.
    pub(crate) fn lift_kick(&self, user: &str) {
        self.state().revocations.lift_kick(user);
    }

    /// Returns true if credentials open nothing any more, though their time is not over: their call
    /// is, for everyone or for their user, or their user was kicked.
    pub(super) fn is_revoked(&self, now: Now, identity: &TurnIdentity) -> bool {
        self.state().revocations.is_revoked(now, identity)
    }

    /// Returns true if nothing is open, counted, taken or reserved.
    #[cfg(test)]
    pub(super) fn is_idle(&self, ports: usize) -> bool {
        let state = self.state();
        state.quotas.is_idle() && state.calls.is_empty() && state.ports.is_idle(ports)
    }
}
