//! The watchers of users: the sessions that subscribed to their presence.

use std::collections::{BTreeMap, BTreeSet};

use callbox_base::ids::{SessionId, UserId};

use super::{PresenceStatus, events::PresenceChangedEvent};
use crate::jwt::Grants;

/// The largest number of users that a session may watch.
pub(super) const MAX_WATCHED: usize = 256;

/// The watched users and their watchers. Neither a session that watches nobody nor a user without
/// watchers has an entry.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// The users that each session watches.
    lists: BTreeMap<SessionId, Box<[UserId]>>,
    watched: BTreeMap<UserId, Watched>,
    /// The watched users whose presence may have changed since it was published.
    touched: BTreeSet<UserId>,
}

/// A user with watchers.
#[derive(Debug)]
struct Watched {
    /// The presence that was published last.
    status: PresenceStatus,
    /// The watchers.
    by: BTreeSet<SessionId>,
}

impl Watches {
    /// Replaces the users that a session watches.
    pub(crate) fn set(&mut self, session: SessionId, users: &[PresenceChangedEvent]) {
        self.forget(session);
        for PresenceChangedEvent { user_id, status } in users {
            let new = || Watched { status: *status, by: BTreeSet::new() };
            self.watched.entry(user_id.clone()).or_insert_with(new).by.insert(session);
        }
        if !users.is_empty() {
            let list = users.iter().map(|user| user.user_id.clone()).collect();
            self.lists.insert(session, list);
        }
    }

    /// Removes everything that a session watches.
    pub(crate) fn forget(&mut self, session: SessionId) {
        for user in self.lists.remove(&session).unwrap_or_default() {
            self.remove(session, &user);
        }
    }

    /// Removes the users from a session's list whom its token does not let it see.
    pub(crate) fn restrict(&mut self, session: SessionId, grants: &Grants) {
        let Some(list) = self.lists.remove(&session) else { return };
        let (seen, hidden): (Vec<_>, Vec<_>) =
            list.into_iter().partition(|user| grants.may_see(user));
        for user in hidden {
            self.remove(session, &user);
        }
        if !seen.is_empty() {
            self.lists.insert(session, seen.into());
        }
    }

    fn remove(&mut self, session: SessionId, user: &UserId) {
        let Some(watched) = self.watched.get_mut(user) else { return };
        watched.by.remove(&session);
        if watched.by.is_empty() {
            self.watched.remove(user);
            self.touched.remove(user);
        }
    }

    /// Marks a user whose presence may have changed.
    pub(crate) fn touch(&mut self, user: &UserId) {
        if self.watched.contains_key(user) {
            self.touched.insert(user.clone());
        }
    }

    /// Takes out the next user whose presence may have changed.
    pub(crate) fn pop_touched(&mut self) -> Option<UserId> {
        self.touched.pop_first()
    }

    /// Records the presence of a user. Returns the watchers if it differs from what was published.
    pub(crate) fn update(
        &mut self,
        user: &UserId,
        status: PresenceStatus,
    ) -> Option<&BTreeSet<SessionId>> {
        let watched = self.watched.get_mut(user)?;
        let before = std::mem::replace(&mut watched.status, status);
        (before != status).then_some(&watched.by)
    }

    /// Returns the number of pairs of a session and a user that it watches.
    pub(crate) fn len(&self) -> usize {
        self.lists.values().map(|list| list.len()).sum()
    }

    /// Returns each watcher with the users that it watches.
    #[cfg(test)]
    pub(crate) fn lists(&self) -> impl Iterator<Item = (SessionId, &[UserId])> {
        self.lists.iter().map(|(session, list)| (*session, &**list))
    }

    /// Returns each watched user with the presence that was published and the watchers.
    #[cfg(test)]
    pub(crate) fn known(
        &self,
    ) -> impl Iterator<Item = (&UserId, PresenceStatus, &BTreeSet<SessionId>)> {
        assert!(self.touched.is_empty(), "a change was not published");
        self.watched.iter().map(|(user, watched)| (user, watched.status, &watched.by))
    }
}
