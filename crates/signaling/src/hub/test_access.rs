//! Views of the hub's parts for tests.

use callbox_base::{
    clock::Now,
    ids::{SessionId, UserId},
};

use super::{Hub, invariants, views};
use crate::{
    Config, call::Calls, kicks::Kicks, outbox::Outbox, rooms::Rooms, sessions::Session, users::User,
};

impl Hub {
    /// Checks that the parts agree with each other.
    pub(crate) fn check_invariants(&self, now: Now) {
        invariants::check(self, now);
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id)
    }

    pub(crate) fn is_here(&self, id: SessionId) -> bool {
        self.sessions.is_here(id)
    }

    pub(crate) fn user(&self, id: &UserId) -> Option<&User> {
        self.users.get(id)
    }

    pub(crate) fn display_name(&self, id: &UserId) -> Option<String> {
        views::display_name(self, id)
    }

    pub(crate) fn calls_of_two(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Returns true if no end of a call waits to be reported.
    pub(crate) fn has_reported_ends(&self) -> bool {
        self.settling.len() == 0
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn kicks(&self) -> &Kicks {
        &self.kicks
    }
}
