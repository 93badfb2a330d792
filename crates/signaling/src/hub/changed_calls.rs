//! The collection of the changes of calls that outlast the server.

use callbox_base::ids::CallId;

use super::Hub;
use crate::{call::HasLifecycle, kept::KeptEnd};

/// Notes that something about a call may have changed, besides what its table notes.
pub(super) fn note(hub: &mut Hub, id: CallId) {
    if let Some(persistence) = &mut hub.persistence {
        persistence.touch(id);
    }
}

/// Notes the calls that have allocations.
pub(super) fn note_relayed(hub: &mut Hub) {
    let Some(persistence) = &mut hub.persistence else { return };
    let calls =
        hub.calls.iter().filter(|call| !call.lifecycle().relay().is_final()).map(|call| call.id());
    let rooms =
        hub.rooms.iter().filter(|room| !room.lifecycle().relay().is_final()).map(|room| room.id());
    calls.chain(rooms).for_each(|id| persistence.touch(id));
}

/// Emits the changes of the kept state.
pub(super) fn emit_changes(hub: &mut Hub) {
    let Some(persistence) = &mut hub.persistence else { return };
    let mut touched = persistence.take_touched();
    touched.extend(hub.calls.take_touched());
    touched.extend(hub.rooms.take_touched());
    for id in touched {
        let call = hub.calls.get(id);
        let over = match (call, hub.rooms.get(id)) {
            (Some(_), _) => None,
            (None, Some(room)) => Some(KeptEnd::of_room(room)),
            (None, None) => hub.settling.get(id).map(KeptEnd::of),
        };
        persistence.emit_changes(id, call, over.as_ref(), &mut hub.outbox);
    }
}
