//! The mapping of sessions to connections. Both have the same id until a session is resumed over
//! another connection; from then on the input of its earlier connection is ignored.

use std::collections::HashMap;

use callbox_base::ids::SessionId;
use callbox_signaling::{CloseReason, Input};
use foldhash::fast::RandomState;

use super::session_queue::{Delivery, Outlet};

/// The connections, each by the id that it was opened with. The server makes those ids: no client
/// can choose them to make the tables slow, so a fast hash is enough.
///
/// Decisions of the hub affect the input of connections at once; their outputs come later if
/// something has to be stored first. So a session's new connection is claimed first, and gets the
/// session's outlet later.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// By session, or by connection until it has its session's outlet: the connection and its
    /// outlet.
    outlets: HashMap<SessionId, (SessionId, Outlet), RandomState>,
    /// The sessions of connections that have another id, by connection.
    resumed: HashMap<SessionId, SessionId, RandomState>,
    /// The same, by session.
    carriers: HashMap<SessionId, SessionId, RandomState>,
}

/// A connection that gets no more output.
#[derive(Debug)]
pub(super) struct Removed {
    /// Its outlet.
    pub outlet: Outlet,
    /// True if it still carried the session, and no other connection does by now.
    pub carried: bool,
}

impl Connections {
    /// Adds a connection.
    pub(super) fn open(&mut self, connection: SessionId, outlet: Outlet) {
        self.outlets.insert(connection, (connection, outlet));
    }

    /// Lets a connection carry a session of another connection, whose input is ignored from now on.
    pub(super) fn claim(&mut self, connection: SessionId, session: SessionId) {
        self.resumed.insert(connection, session);
        if let Some(before) = self.carriers.insert(session, connection) {
            self.resumed.remove(&before);
        }
    }

    /// Directs the output for a session to this connection from now on. The one before is told, if
    /// it is still open.
    pub(super) fn resume(&mut self, connection: SessionId, session: SessionId) {
        let Some(outlet) = self.outlets.remove(&connection) else { return };
        if let Some((_, outlet)) = self.outlets.insert(session, outlet) {
            // One that does not read is closed when its outlet is dropped.
            let _ = outlet.put(Delivery::Close(CloseReason::Replaced));
        }
    }

    /// Returns the outlet of the connection that carries a session.
    pub(super) fn outlet(&self, session: SessionId) -> Option<&Outlet> {
        self.outlets.get(&session).map(|(_, outlet)| outlet)
    }

    /// Returns the outlets of all connections.
    pub(super) fn outlets(&self) -> impl Iterator<Item = &Outlet> {
        self.outlets.values().map(|(_, outlet)| outlet)
    }

    /// Removes the outlet of the connection that gets a session's output.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<Removed> {
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

    /// Renames the input of a connection to its session. Returns `None` if it carries none any
    /// more.
    pub(super) fn name(&mut self, mut input: Input) -> Option<Input> {
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
        let has_outlet =
            |name: &SessionId| self.outlets.get(name).is_some_and(|(its, _)| *its == connection);
        let at = [connection, session].into_iter().find(has_outlet);
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
