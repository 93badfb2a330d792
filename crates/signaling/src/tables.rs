//! The hub's tables: who is connected, which calls are live and which are over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use callbox_base::ids::{CallId, DeviceId, SessionId, UserId};

use super::{
    ClientMark,
    idempotency::AnsweredRequests,
    kicks::TokenMark,
    lookup::Lookup,
    lost_devices::LostDevices,
    rate::{Bucket, EventLimit},
    watches::Watches,
};
use crate::jwt::Grants;

/// The largest number of users that a session may block.
pub(super) const MAX_BLOCKED: usize = 256;

/// One connection of one device.
#[derive(Debug)]
pub(super) struct Session {
    pub user: UserId,
    pub name: Option<String>,
    /// What its token lets it do.
    pub grants: Grants,
    pub token: TokenMark,
    pub device: DeviceId,
    /// The digest by which its client is recognized if it comes back and does not name its device.
    pub mark: Option<ClientMark>,
    /// When its token expires, in seconds since 1970.
    pub expires: u64,
    /// When it is told that this is near, counted from 1970; none once it has been.
    pub warn_at: Option<Duration>,
    /// When its token is to be looked at.
    pub token_check: Instant,
    pub events: EventLimit,
    /// The users who may not call this one for as long as the session lasts.
    pub blocked: BTreeSet<UserId>,
    /// Until when it can be resumed: it has no connection.
    pub away_until: Option<Instant>,
}

/// A user who is connected or in a call.
#[derive(Debug, Default)]
pub(super) struct User {
    pub devices: BTreeMap<DeviceId, SessionId>,
    /// Live calls the user is a side of, on whichever device.
    pub calls: Vec<CallId>,
    /// How many calls the user may begin, over all sessions. It goes with the entry, so whoever
    /// leaves and comes back has a full one: an entry kept for it would be one more thing that
    /// strangers can pile up, and each full bucket costs them a connection and its token.
    pub call_bucket: Bucket,
    /// What its devices have asked of late.
    pub answered: AnsweredRequests,
    /// Devices that do not say which they are, and have just lost their connections.
    pub lost: LostDevices,
}

/// The users; an entry lasts as long as it says anything.
#[derive(Debug, Default)]
pub(super) struct Users {
    entries: Lookup<UserId, User>,
    /// Who hears of changes.
    pub watches: Watches,
}

impl Users {
    pub fn get(&self, user: &UserId) -> Option<&User> {
        self.entries.get(user)
    }

    /// All of them, ordered by user id.
    pub fn sorted(&self) -> Vec<(&UserId, &User)> {
        let mut users: Vec<_> = self.entries.iter().collect();
        users.sort_unstable_by_key(|(id, _)| *id);
        users
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Live calls of the user. A copy, since they change as they are gone through; a user has few.
    pub fn calls(&self, user: &UserId) -> Vec<CallId> {
        self.get(user).map(|user| user.calls.clone()).unwrap_or_default()
    }

    /// Changes a user's entry; it is made if there is none, and removed if it says nothing.
    pub fn update(&mut self, user: &UserId, change: impl FnOnce(&mut User)) {
        self.watches.touch(user);
        let entry = self.entries.entry(user.clone()).or_default();
        change(entry);
        if entry.devices.is_empty() && entry.calls.is_empty() {
            self.entries.remove(user);
        }
    }
}
