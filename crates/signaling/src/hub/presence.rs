//! The presence of users, and its publication to their watchers.
//!
//! Every change of a user marks the user. The presence is computed only once everything has
//! happened, so that a device that replaces its own session, or a call that is busy at once, is no
//! change.

use callbox_base::ids::UserId;

use super::{Hub, limits};
use crate::{Event, PresenceStatus, events::PresenceChangedEvent};

/// Returns the presence of a user.
pub(super) fn status(hub: &Hub, user: &UserId) -> PresenceStatus {
    match hub.users.get(user) {
        None => PresenceStatus::Offline,
        Some(entry) if entry.devices().is_empty() => PresenceStatus::Offline,
        Some(_) if limits::is_busy(hub, user) => PresenceStatus::Busy,
        Some(_) => PresenceStatus::Online,
    }
}

/// Publishes the presence of users who have changed to their watchers.
pub(super) fn publish(hub: &mut Hub) {
    while let Some(user) = hub.users.pop_touched() {
        let status = status(hub, &user);
        let Some(watchers) = hub.users.update_presence(&user, status) else { continue };
        let event = Event::of(&PresenceChangedEvent { user_id: user, status });
        for session in watchers {
            hub.outbox.send_event(*session, event.clone());
        }
    }
}
