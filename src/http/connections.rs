//! Which connection carries which session. They have the same name until a session goes on over
//! another connection; from then on what its first one still says does not count.

use std::collections::HashMap;

use callbox_base::ids::SessionId;
use callbox_signaling::{CloseReason, Input};
use foldhash::fast::RandomState;

use super::session_queue::{Delivery, Outlet};

/// The connections, each by the name that it was opened with. The server makes those names: no client can
/// choose them to make the tables slow, so a fast hash is enough.
///
/// Decisions of the hub hold for the input of connections at once; their outputs come later where something
/// has to be kept first. So a session's new connection is named first, and gets its way later.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// By session, or by connection until it has its session's way: the connection, and the way to it.
    outlets: HashMap<SessionId, (SessionId, Outlet), RandomState>,
    /// The sessions of those that carry one of another name.
    resumed: HashMap<SessionId, SessionId, RandomState>,
    /// The other way round.
    carriers: HashMap<SessionId, SessionId, RandomState>,
}

/// A connection that gets nothing any more.
#[derive(Debug)]
pub(super) struct Removed {
    /// The way to it.
    pub outlet: Outlet,
    /// True if it still carried the session, and no other connection does by now.
    pub carried: bool,
}

impl Connections {
    /// A connection is there.
    pub fn open(&mut self, connection: SessionId, outlet: Outlet) {
        self.outlets.insert(connection, (connection, outlet));
    }

    /// It carries a session that another one carried, whose words do not count any more.
    pub fn claim(&mut self, connection: SessionId, session: SessionId) {
        self.resumed.insert(connection, session);
        if let Some(before) = self.carriers.insert(session, connection) {
            self.resumed.remove(&before);
        }
    }

    /// It gets what is for that session from now on. The one before is told, if it is still there.
    pub fn resume(&mut self, connection: SessionId, session: SessionId) {
        let Some(outlet) = self.outlets.remove(&connection) else { return };
        if let Some((_, outlet)) = self.outlets.insert(session, outlet) {
            // One that does not read is closed when its way ends.
            let _ = outlet.put(Delivery::Close(CloseReason::Replaced));
        }
    }

    /// The way to the connection of a session.
    pub fn outlet(&self, session: SessionId) -> Option<&Outlet> {
        self.outlets.get(&session).map(|(_, outlet)| outlet)
    }

    /// The connection that gets what is for a session has no way any more.
    pub fn remove(&mut self, session: SessionId) -> Option<Removed> {
        let (connection, outlet) = self.outlets.remove(&session)?;
        let carried = self.carrier(session) == connection;
        if carried {
            self.forget(connection, session);
        }
        Some(Removed { outlet, carried })
    }

    fn carrier(&self, session: SessionId) -> SessionId {
        self.carriers.get(&session).copied().unwrap_or(session)
    }

    fn forget(&mut self, connection: SessionId, session: SessionId) {
        self.resumed.remove(&connection);
        self.carriers.remove(&session);
    }

    /// What a connection says, in the name of its session. `None` if it carries none any more.
    pub fn name(&mut self, mut input: Input) -> Option<Input> {
        let is_end =
            matches!(input, Input::Lost { .. } | Input::Closed { .. } | Input::Left { .. });
        let (Input::Request { session, .. }
        | Input::Refresh { session, .. }
        | Input::Acknowledged { session, .. }
        | Input::Lost { session }
        | Input::Closed { session }
        | Input::Left { session }) = &mut input
        else {
            return Some(input);
        };
        let connection = *session;
        *session = self.resumed.get(&connection).copied().unwrap_or(connection);
        let session = *session;
        let has_way =
            |name: &SessionId| self.outlets.get(name).is_some_and(|(its, _)| *its == connection);
        let at = [connection, session].into_iter().find(has_way);
        let carries = self.carrier(session) == connection && at.is_some();
        if is_end && let Some(at) = at {
            self.outlets.remove(&at);
            if carries {
                self.forget(connection, session);
            }
        }
        carries.then_some(input)
    }
}
