//! What the workers must share: quotas, ports, reservations and the calls that are over.
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
    limits::{Meter, Rates},
    ports::PortPool,
    revocation::Revocations,
};
use crate::auth::TurnIdentity;

/// Names a reserved port to the client that may have it (RFC 8656 §18.8).
pub(super) type ReservationToken = [u8; 8];

/// The state that all workers share.
#[derive(Debug)]
pub struct Shared {
    max_allocations: usize,
    max_allocations_per_user: usize,
    user_rates: Rates,
    max_connections_per_user: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    total: usize,
    /// Connections to peers.
    connections: usize,
    users: HashMap<Arc<str>, User>,
    ports: HashMap<RelayIp, PortPool>,
    reservations: HashMap<ReservationToken, Reservation>,
    /// The number of allocations of each call that has any.
    served: HashMap<CallId, usize>,
    /// The calls that are over.
    ended: Revocations<CallId>,
    /// The users who are in a call no more that goes on.
    out: Revocations<(CallId, Arc<str>)>,
    /// The users who were kicked and have not been let in again.
    kicked: Revocations<Arc<str>>,
    /// The end of the last credentials that were made for a user before a kick: those for no call,
    /// and those for calls.
    revoked: Revocations<(Arc<str>, For)>,
}

/// The purpose of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum For {
    NoCall,
    Calls,
}

/// What a user has; an entry lasts as long as there is anything.
#[derive(Debug, Default)]
struct User {
    /// Allocations and reserved ports.
    used: usize,
    /// Connections to peers.
    connections: usize,
    /// What all allocations of the user may relay together.
    meter: Option<Arc<Meter>>,
}

#[derive(Debug)]
struct Reservation {
    user: Arc<str>,
    ip: RelayIp,
    port: u16,
}

/// A port that was taken for an allocation, and the token of the one next to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub ip: RelayIp,
    pub port: u16,
    pub reserved: Option<ReservationToken>,
}

impl Shared {
    /// The state for one server.
    pub fn new(config: &Config, addresses: &RelayAddresses) -> Self {
        let pool = |ip: &RelayIp| (*ip, PortPool::new(&config.relay_ports));
        let state = State {
            total: 0,
            connections: 0,
            users: HashMap::new(),
            ports: addresses.relay_ips().iter().map(pool).collect(),
            reservations: HashMap::new(),
            served: HashMap::new(),
            ended: Revocations::default(),
            out: Revocations::default(),
            kicked: Revocations::default(),
            revoked: Revocations::default(),
        };
        Self {
            max_allocations: config.max_allocations,
            max_allocations_per_user: config.max_allocations_per_user,
            user_rates: Rates::new(config.max_bandwidth_per_user, config.max_packet_rate_per_user),
            max_connections_per_user: config.max_channels,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change below is whole before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a port and a place in the quotas for one allocation.
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
        let mut state = self.state();
        // A reserved port counts like an allocation: it is as scarce.
        let reserve = even.is_some_and(|even| even.reserve_next);
        let wanted = if reserve { 2 } else { 1 };
        let used = state.users.get(user).map_or(0, |user| user.used);
        if used + wanted > self.max_allocations_per_user {
            return Err(ErrorCode::AllocationQuotaReached);
        }
        if state.total + wanted > self.max_allocations {
            return Err(ErrorCode::InsufficientCapacity);
        }
        let pool = state.ports.get_mut(&ip).ok_or(ErrorCode::AddressFamilyNotSupported)?;
        let port = match even {
            None => pool.take(rng),
            Some(EvenPort { reserve_next: false }) => pool.take_even(rng),
            Some(EvenPort { reserve_next: true }) => pool.take_pair(rng),
        };
        let port = port.ok_or(ErrorCode::InsufficientCapacity)?;
        let reserved = reserve.then(|| {
            let token = rng.random();
            let reservation = Reservation { user: user.clone(), ip, port: port + 1 };
            state.reservations.insert(token, reservation);
            token
        });
        state.total += wanted;
        state.users.entry(user.clone()).or_default().used += wanted;
        Ok(Taken { ip, port, reserved })
    }

    /// Takes the port that was reserved under `token`; its place in the quotas goes with it.
    ///
    /// # Errors
    /// 508 if there is none, or if it is another user's (RFC 8656 §7.2).
    pub(super) fn redeem(
        &self,
        token: ReservationToken,
        user: &Arc<str>,
    ) -> Result<Taken, ErrorCode> {
        let mut state = self.state();
        match state.reservations.remove(&token) {
            Some(r) if r.user == *user => Ok(Taken { ip: r.ip, port: r.port, reserved: None }),
            Some(other) => {
                state.reservations.insert(token, other);
                Err(ErrorCode::InsufficientCapacity)
            }
            None => Err(ErrorCode::InsufficientCapacity),
        }
    }

    /// Gives back what is reserved under `token`, if it still is.
    pub(super) fn expire(&self, token: ReservationToken) {
        let mut state = self.state();
        if let Some(Reservation { user, ip, port }) = state.reservations.remove(&token) {
            state.release(&user, ip, port);
        }
    }

    /// Exchanges a port that something else on this machine holds for another one of its kind. What
    /// is reserved with it moves along, under the same token.
    pub(super) fn exchange(
        &self,
        rng: &mut impl Rng,
        taken: Taken,
        even: Option<EvenPort>,
    ) -> Option<u16> {
        let mut state = self.state();
        let State { ports, reservations, .. } = &mut *state;
        let pool = ports.get_mut(&taken.ip)?;
        let reserved = taken.reserved.and_then(|token| reservations.get_mut(&token));
        let other = match (even, &reserved) {
            (None, _) => pool.take(rng)?,
            (Some(_), Some(_)) => pool.take_pair(rng)?,
            (Some(_), None) => pool.take_even(rng)?,
        };
        pool.give(taken.port);
        if let Some(reserved) = reserved {
            pool.give(std::mem::replace(&mut reserved.port, other + 1));
        }
        Some(other)
    }

    /// What bounds the allocations of a user together, if anything does: asked for when one opens,
    /// and shared by them without a lock from then on.
    pub(super) fn meter(&self, now: Instant, user: &Arc<str>) -> Option<Arc<Meter>> {
        let new = Meter::new(self.user_rates, now)?;
        let mut state = self.state();
        let entry = state.users.get_mut(user)?;
        Some(entry.meter.get_or_insert_with(|| Arc::new(new)).clone())
    }

    /// Gives back what an allocation had.
    pub(super) fn release(&self, user: &Arc<str>, ip: RelayIp, port: u16) {
        self.state().release(user, ip, port);
    }

    /// Takes a place for a connection to a peer. There may be as many as allocations, each being a
    /// socket, too; and a user may have as many as one allocation, so that nobody has them all.
    ///
    /// # Errors
    /// 486 if the user has that many, 508 if there are.
    pub(super) fn take_connection(&self, user: &Arc<str>) -> Result<(), ErrorCode> {
        let mut state = self.state();
        if state.connections >= self.max_allocations {
            return Err(ErrorCode::InsufficientCapacity);
        }
        let Some(entry) = state.users.get_mut(user) else {
            return Err(ErrorCode::AllocationMismatch);
        };
        if entry.connections >= self.max_connections_per_user {
            return Err(ErrorCode::AllocationQuotaReached);
        }
        entry.connections += 1;
        state.connections += 1;
        Ok(())
    }

    /// Gives one back. The user's allocation is still there.
    pub(super) fn release_connection(&self, user: &Arc<str>) {
        let mut state = self.state();
        state.connections -= 1;
        if let Some(entry) = state.users.get_mut(user) {
            entry.connections -= 1;
        }
    }

    /// Refuses the credentials of a call from now on, until `until` (seconds since 1970), when
    /// the last of them has expired. Returns true if the call has allocations, which are to be closed,
    /// or one of its `sides` has any, which may reach less now; none is opened for the call any more.
    #[must_use]
    pub fn end_call(&self, call: CallId, sides: &[UserId], until: u64, now: u64) -> bool {
        let mut state = self.state();
        state.ended.insert(call, until, now);
        let has_any = |user: &UserId| state.users.contains_key(user.as_str());
        state.served.contains_key(&call) || sides.iter().any(has_any)
    }

    /// Counts an allocation that is opened for a call, if it is for one, unless these credentials open
    /// nothing any more.
    #[must_use]
    pub(super) fn serve(&self, now: Now, identity: &TurnIdentity) -> bool {
        let mut state = self.state();
        let may = !state.refuses(now, identity);
        if may && let Some(call) = identity.call {
            *state.served.entry(call).or_default() += 1;
        }
        may
    }

    /// An allocation that was counted for a call is closed.
    pub(super) fn leave_call(&self, call: CallId) {
        let mut state = self.state();
        if let Some(count) = state.served.get_mut(&call) {
            *count -= 1;
            if *count == 0 {
                state.served.remove(&call);
                if state.served.is_empty() {
                    state.served.shrink_to_fit();
                }
            }
        }
    }

    /// The same for one user of a call that goes on, unless the user is let in again.
    pub fn revoke_user(&self, call: CallId, user: &str, until: u64, now: u64) {
        self.state().out.insert((call, user.into()), until, now);
    }

    /// The user is in the call again.
    pub fn readmit_user(&self, call: CallId, user: &str) {
        self.state().out.remove(&(call, user.into()));
    }

    /// Refuses what was given to a user until now: of credentials that live for `ttl` those that are
    /// for no call, and with `ban` also those for calls; and so long every other one of the user,
    /// unless the user is let in again. Says whether the user has allocations.
    #[must_use]
    pub fn kick(&self, now: Now, user: &str, ttl: Duration, ban: Option<Duration>) -> bool {
        let (user, seconds): (Arc<str>, _) = (user.into(), now.unix_secs());
        let mut state = self.state();
        let until = seconds.saturating_add(ttl.as_secs());
        state.revoked.insert((user.clone(), For::NoCall), until, seconds);
        if let Some(ban) = ban {
            state.revoked.insert((user.clone(), For::Calls), until, seconds);
            let until = seconds.saturating_add(ban.as_secs());
            state.kicked.insert(user.clone(), until, seconds);
        }
        state.users.contains_key(&user)
    }

    /// A user who was kicked is let in again, with new credentials.
    pub fn lift_kick(&self, user: &str) {
        self.state().kicked.remove(&user.into());
    }

    /// Returns true if credentials open nothing any more, though their time is not over: their call
    /// is, for everyone or for their user, or their user was kicked.
    pub(super) fn refuses(&self, now: Now, identity: &TurnIdentity) -> bool {
        self.state().refuses(now, identity)
    }

    /// Whether nothing is open, counted, taken or reserved.
    #[cfg(test)]
    pub(super) fn is_idle(&self, ports: usize) -> bool {
        let state = self.state();
        state.total == 0
            && state.connections == 0
            && state.users.is_empty()
            && state.served.is_empty()
            && state.reservations.is_empty()
            && state.ports.values().all(|pool| pool.len() == ports)
    }
}

impl State {
    fn refuses(&self, now: Now, identity: &TurnIdentity) -> bool {
        let user = &identity.user;
        let is_over = |call| self.ended.contains(&call) || self.out.contains(&(call, user.clone()));
        identity.call.is_some_and(is_over) || self.is_kicked(now, identity)
    }

    fn is_kicked(&self, now: Now, identity: &TurnIdentity) -> bool {
        let user = &identity.user;
        if self.kicked.until(user).is_some_and(|until| now.unix_secs() < until) {
            return true;
        }
        let purpose = if identity.call.is_some() { For::Calls } else { For::NoCall };
        let last = self.revoked.until(&(user.clone(), purpose));
        // All that was made by then ends by then.
        identity.expires.zip(last).is_some_and(|(expires, last)| expires <= last)
    }

    fn release(&mut self, user: &Arc<str>, ip: RelayIp, port: u16) {
        self.total -= 1;
        if let Some(entry) = self.users.get_mut(user) {
            entry.used -= 1;
            if entry.used == 0 {
                self.users.remove(user);
            }
        }
        if let Some(pool) = self.ports.get_mut(&ip) {
            pool.give(port);
        }
    }
}
