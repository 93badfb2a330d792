//! The presence of users, as their watchers see it.

use callbox_base::ids::{SessionId, UserId};
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{Sim, USERS, Watched, user};
use crate::PresenceStatus;

impl Sim {
    /// Somebody to watch, or nobody.
    pub(super) fn any_list(&mut self) -> Value {
        let count = self.rng.random_range(0..=USERS.len());
        let list: Vec<_> = (0..count).map(|_| *USERS.choose(&mut self.rng).unwrap()).collect();
        json!(list)
    }

    /// A session received the presence of the users on its list.
    pub(super) fn watches(&mut self, session: SessionId, asked: &Value, answer: &Value) {
        let mut view = std::collections::BTreeMap::new();
        for one in answer["presence"].as_array().unwrap() {
            let (user, status) = read(one);
            assert!(self.tokens[&session].grants.may_see(&user), "it may not see {user}");
            assert!(asked["userIds"].as_array().unwrap().contains(&json!(user)));
            assert!(view.insert(user, status).is_none(), "listed twice");
        }
        for one in asked["userIds"].as_array().unwrap() {
            assert!(view.contains_key(&user(one.as_str().unwrap())), "{one} is not listed");
        }
        self.views.insert(session, view);
    }

    /// A session received a change.
    pub(super) fn sees(&mut self, session: SessionId, data: &Value, late: bool) {
        let (user, status) = read(data);
        let known = self.views.get_mut(&session).and_then(|view| view.get_mut(&user));
        let Some(known) = known else {
            // It came back with a token that does not show that user any more.
            assert!(late, "of somebody whom it does not watch");
            return;
        };
        assert_ne!(std::mem::replace(known, status), status, "no change");
        self.presence_changes += 1;
    }

    /// After each input: whoever is there and watches knows how things are.
    pub(super) fn check_views(&mut self) {
        let sessions = &self.sessions;
        self.views.retain(|session, _| sessions.contains_key(session));
        for (session, view) in &self.views {
            if self.is_here(*session) {
                for (user, known) in view {
                    assert_eq!(*known, self.presence(user), "of {user}, as {session} sees it");
                }
            }
        }
    }

    /// Returns the presence of a user, as the observer knows it.
    fn presence(&self, user: &UserId) -> PresenceStatus {
        let own = self.sessions.iter().filter(|(_, seat)| seat.0 == *user);
        let sessions: Vec<_> = own.map(|(session, _)| session).collect();
        let tokens = sessions.iter().filter_map(|session| self.tokens[session].grants.max_calls);
        let most = self.hub.config().max_calls_per_user as u64;
        let most = tokens.min().unwrap_or(most).min(most);
        let (ringing, config) = (self.ringing(user), self.hub.config());
        let counted = if config.ringing_is_busy { ringing } else { 0 };
        let is_full = ringing >= config.max_ringing_per_user;
        match sessions.is_empty() {
            true => PresenceStatus::Offline,
            false if is_full || (self.own_calls(user) + counted) as u64 >= most => {
                PresenceStatus::Busy
            }
            false => PresenceStatus::Online,
        }
    }
}

impl Sim {
    /// Returns the number of calls that ring at a user, as the observer knows it.
    pub(super) fn ringing(&self, user: &UserId) -> usize {
        let live = self.calls.values().filter(|call| !call.ended);
        live.filter(|call| call.callee == *user && call.winner.is_none()).count()
    }

    /// Returns the number of calls that a user has begun, accepted or joined.
    pub(super) fn own_calls(&self, user: &UserId) -> usize {
        let live = self.calls.values().filter(|call| !call.ended);
        let is_in = |call: &&Watched| call.caller.0 == *user || call.callee == *user;
        let calls = live.filter(is_in).count() - self.ringing(user);
        calls + self.rooms.values().filter(|room| room.holds(user)).count()
    }
}

fn read(data: &Value) -> (UserId, PresenceStatus) {
    let status = serde_json::from_value(data["status"].clone()).unwrap();
    (user(data["userId"].as_str().unwrap()), status)
}
