//! The quotas of allocations and of connections to peers: of the server, and of each user.

use std::{collections::HashMap, sync::Arc};

use callbox_stun::ErrorCode;

use super::{Config, meter::Meter};

/// The share of a user; an entry lasts as long as there is anything.
#[derive(Debug, Default)]
struct User {
    /// Allocations and reserved ports.
    used: usize,
    /// Connections to peers.
    connections: usize,
    /// The buckets that all allocations of the user draw from.
    meter: Option<Arc<Meter>>,
}

/// The allocations and connections of a server, counted against their limits.
#[derive(Debug)]
pub(super) struct Quotas {
    max_allocations: usize,
    max_allocations_per_user: usize,
    max_connections_per_user: usize,
    /// Allocations and reserved ports.
    total: usize,
    /// Connections to peers.
    connections: usize,
    users: HashMap<Arc<str>, User>,
}

impl Quotas {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max_allocations: config.max_allocations,
            max_allocations_per_user: config.max_allocations_per_user,
            max_connections_per_user: config.max_channels,
            total: 0,
            connections: 0,
            users: HashMap::new(),
        }
    }

    /// Checks that a user may have so many more allocations and reserved ports.
    ///
    /// # Errors
    /// 486 over the user's quota, 508 over the server's.
    pub(crate) fn check(&self, user: &str, wanted: usize) -> Result<(), ErrorCode> {
        let used = self.users.get(user).map_or(0, |user| user.used);
        if used + wanted > self.max_allocations_per_user {
            return Err(ErrorCode::AllocationQuotaReached);
        }
        if self.total + wanted > self.max_allocations {
            return Err(ErrorCode::InsufficientCapacity);
        }
        Ok(())
    }

    /// Counts allocations and reserved ports of a user.
    pub(crate) fn add(&mut self, user: &Arc<str>, wanted: usize) {
        self.total += wanted;
        self.users.entry(user.clone()).or_default().used += wanted;
    }

    /// Counts one less.
    pub(crate) fn release(&mut self, user: &Arc<str>) {
        self.total -= 1;
        if let Some(entry) = self.users.get_mut(user) {
            entry.used -= 1;
            if entry.used == 0 {
                self.users.remove(user);
            }
        }
    }

    /// Counts a connection to a peer. There may be as many as allocations, each being a socket,
    /// too; and a user may have as many as one allocation, so that nobody has them all.
    ///
    /// # Errors
    /// 486 if the user has that many, 508 if there are.
    pub(crate) fn add_connection(&mut self, user: &Arc<str>) -> Result<(), ErrorCode> {
        if self.connections >= self.max_allocations {
            return Err(ErrorCode::InsufficientCapacity);
        }
        let Some(entry) = self.users.get_mut(user) else {
            return Err(ErrorCode::AllocationMismatch);
        };
        if entry.connections >= self.max_connections_per_user {
            return Err(ErrorCode::AllocationQuotaReached);
        }
        entry.connections += 1;
        self.connections += 1;
        Ok(())
    }

    /// Counts one less. The user's allocation is still there.
    pub(crate) fn release_connection(&mut self, user: &Arc<str>) {
        self.connections -= 1;
        if let Some(entry) = self.users.get_mut(user) {
            entry.connections -= 1;
        }
    }

    /// Returns true if a user has any allocation or reserved port.
    pub(crate) fn has_any(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// Returns the buckets of a user who has allocations, `new` if there are none yet.
    pub(crate) fn meter(&mut self, user: &Arc<str>, new: Meter) -> Option<Arc<Meter>> {
        let entry = self.users.get_mut(user)?;
        Some(entry.meter.get_or_insert_with(|| Arc::new(new)).clone())
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.total == 0 && self.connections == 0 && self.users.is_empty()
    }
}
