//! Who watches whom, and hears when that user can be called, or cannot any more.
//!
//! Whatever changes a user says so here. Only once everything has happened is it looked at what came
//! of it, so that a device that takes its own place, or a call that is busy at once, is no change.

use std::collections::{BTreeMap, BTreeSet};

use callbox_base::ids::{SessionId, UserId};

use super::{Event, Hub, PresenceStatus, events::PresenceChangedEvent};
use crate::jwt::Grants;

/// How many users a session may watch.
pub(super) const MAX_WATCHED: usize = 256;

/// The watched users and the sessions that watch them. Who watches nobody takes no place here, and
/// nor does who is not watched.
#[derive(Debug, Default)]
pub(super) struct Watches {
    lists: BTreeMap<SessionId, Box<[UserId]>>,
    watched: BTreeMap<UserId, Watched>,
    /// Those of the watched of whom something has changed since it was last looked.
    touched: BTreeSet<UserId>,
}

#[derive(Debug)]
struct Watched {
    /// What their watchers know.
    status: PresenceStatus,
    by: BTreeSet<SessionId>,
}

impl Watches {
    /// A session watches these users, and no others any more.
    pub fn set(&mut self, session: SessionId, users: &[PresenceChangedEvent]) {
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

    /// A session watches nobody any more.
    pub fn forget(&mut self, session: SessionId) {
        for user in self.lists.remove(&session).unwrap_or_default() {
            self.remove(session, &user);
        }
    }

    /// A session watches only those any more whom it may see.
    pub fn restrict(&mut self, session: SessionId, grants: &Grants) {
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

    /// Something of a user has changed.
    pub fn touch(&mut self, user: &UserId) {
        if self.watched.contains_key(user) {
            self.touched.insert(user.clone());
        }
    }

    /// How many sessions watch how many users, each pair counted.
    pub fn len(&self) -> usize {
        self.lists.values().map(|list| list.len()).sum()
    }

    /// Each session that watches somebody, with whom.
    #[cfg(test)]
    pub fn lists(&self) -> impl Iterator<Item = (SessionId, &[UserId])> {
        self.lists.iter().map(|(session, list)| (*session, &**list))
    }

    /// What the watchers of each user know.
    #[cfg(test)]
    pub fn known(&self) -> impl Iterator<Item = (&UserId, PresenceStatus, &BTreeSet<SessionId>)> {
        assert!(self.touched.is_empty(), "nobody has looked");
        self.watched.iter().map(|(user, watched)| (user, watched.status, &watched.by))
    }
}

impl Hub {
    /// Whether a user can be called.
    pub(super) fn presence_of(&self, user: &UserId) -> PresenceStatus {
        match self.users.get(user) {
            None => PresenceStatus::Offline,
            Some(entry) if entry.devices.is_empty() => PresenceStatus::Offline,
            Some(_) if self.is_busy(user) => PresenceStatus::Busy,
            Some(_) => PresenceStatus::Online,
        }
    }

    /// Looks at the users of whom something has changed, and tells their watchers what came of it.
    pub(super) fn tell_presence(&mut self) {
        while let Some(user) = self.users.watches.touched.pop_first() {
            let status = self.presence_of(&user);
            let Some(watched) = self.users.watches.watched.get_mut(&user) else { continue };
            if std::mem::replace(&mut watched.status, status) == status {
                continue;
            }
            let event = Event::of(&PresenceChangedEvent { user_id: user, status });
            for session in &watched.by {
                self.outbox.send_event(*session, event.clone());
            }
        }
    }
}
