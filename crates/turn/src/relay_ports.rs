//! The ports of the relay addresses: free, taken, and reserved for the holder of a token (RFC 8656
//! §7.2).

use std::{collections::HashMap, sync::Arc};

use callbox_stun::{ErrorCode, EvenPort};
use rand::Rng;

use super::{Config, RelayAddresses, RelayIp, ports::PortPool};

/// Names a reserved port to the client that may have it (RFC 8656 §18.8).
pub(super) type ReservationToken = [u8; 8];

/// A port that was taken for an allocation, and the token of the one next to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub ip: RelayIp,
    pub port: u16,
    pub reserved: Option<ReservationToken>,
}

#[derive(Debug)]
struct Reservation {
    user: Arc<str>,
    ip: RelayIp,
    port: u16,
}

/// The ports of each relay address.
#[derive(Debug)]
pub(super) struct RelayPorts {
    free: HashMap<RelayIp, PortPool>,
    reservations: HashMap<ReservationToken, Reservation>,
}

impl RelayPorts {
    pub(crate) fn new(config: &Config, addresses: &RelayAddresses) -> Self {
        let pool = |ip: &RelayIp| (*ip, PortPool::new(&config.relay_ports));
        let free = addresses.relay_ips().iter().map(pool).collect();
        Self { free, reservations: HashMap::new() }
    }

    /// Takes a port for an allocation of a user, and reserves the next one if EVEN-PORT asks for
    /// it.
    ///
    /// # Errors
    /// 440 if nothing is relayed on the address, 508 without a port that fits.
    pub(crate) fn take(
        &mut self,
        rng: &mut impl Rng,
        user: &Arc<str>,
        ip: RelayIp,
        even: Option<EvenPort>,
    ) -> Result<Taken, ErrorCode> {
        let pool = self.free.get_mut(&ip).ok_or(ErrorCode::AddressFamilyNotSupported)?;
        let port = match even {
            None => pool.take(rng),
            Some(EvenPort { reserve_next: false }) => pool.take_even(rng),
            Some(EvenPort { reserve_next: true }) => pool.take_pair(rng),
        };
        let port = port.ok_or(ErrorCode::InsufficientCapacity)?;
        let reserved = even.is_some_and(|even| even.reserve_next).then(|| {
            let token = rng.random();
            let reservation = Reservation { user: user.clone(), ip, port: port + 1 };
            self.reservations.insert(token, reservation);
            token
        });
        Ok(Taken { ip, port, reserved })
    }

    /// Gives back a port that was taken.
    pub(crate) fn give_back(&mut self, ip: RelayIp, port: u16) {
        if let Some(pool) = self.free.get_mut(&ip) {
            pool.give(port);
        }
    }

    /// Takes the port that was reserved under a token.
    ///
    /// # Errors
    /// 508 if there is none, or if it is another user's (RFC 8656 §7.2).
    pub(crate) fn redeem(
        &mut self,
        token: ReservationToken,
        user: &str,
    ) -> Result<Taken, ErrorCode> {
        let reservation = self.reservations.get(&token).filter(|r| &*r.user == user);
        let Reservation { ip, port, .. } = reservation.ok_or(ErrorCode::InsufficientCapacity)?;
        let taken = Taken { ip: *ip, port: *port, reserved: None };
        self.reservations.remove(&token);
        Ok(taken)
    }

    /// Gives back the port that is reserved under a token, if it still is. Returns the user for
    /// whom it was reserved.
    pub(crate) fn expire(&mut self, token: ReservationToken) -> Option<Arc<str>> {
        let Reservation { user, ip, port } = self.reservations.remove(&token)?;
        self.give_back(ip, port);
        Some(user)
    }

    /// Exchanges a port that something else on this machine has for another one of its kind. The
    /// port that is reserved with it moves along, under the same token.
    pub(crate) fn exchange(
        &mut self,
        rng: &mut impl Rng,
        taken: Taken,
        even: Option<EvenPort>,
    ) -> Option<u16> {
        let pool = self.free.get_mut(&taken.ip)?;
        let reserved = taken.reserved.and_then(|token| self.reservations.get_mut(&token));
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

    /// Returns true if nothing is reserved, and `ports` are free on each address.
    #[cfg(test)]
    pub(crate) fn is_idle(&self, ports: usize) -> bool {
        self.reservations.is_empty() && self.free.values().all(|pool| pool.len() == ports)
    }
}
