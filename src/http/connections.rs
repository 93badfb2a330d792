//! Which connection carries which session. They have the same name until a session goes on over
//! another connection; from then on what its first one still says does not count.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::outbox::{Delivery, Outlet};
use crate::{
    ids::SessionId,
    signaling::{CloseReason, Input},
};

/// The connections, each by the name that it was opened with. The server makes those names: no client can
/// choose them to make the tables slow, so a fast hash is enough.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// By session: the connection that carries it, and the way to it.
    outlets: HashMap<SessionId, (SessionId, Outlet), RandomState>,
    /// The sessions of those that carry one of another name.
    resumed: HashMap<SessionId, SessionId, RandomState>,
}

impl Connections {
    /// A connection is there.
    pub fn open(&mut self, connection: SessionId, outlet: Outlet) {
        self.outlets.insert(connection, (connection, outlet));
    }

    /// It carries a session that another one carried. That one is told, if it is still there.
    pub fn resume(&mut self, connection: SessionId, session: SessionId) {
        let Some(outlet) = self.outlets.remove(&connection) else { return };
        self.resumed.insert(connection, session);
        if let Some((before, outlet)) = self.outlets.insert(session, outlet) {
            self.resumed.remove(&before);
            // One that does not read is closed when its way ends.
            let _ = outlet.put(Delivery::Close(CloseReason::Replaced));
        }
    }

    /// The way to the connection of a session.
    pub fn outlet(&self, session: SessionId) -> Option<&Outlet> {
        self.outlets.get(&session).map(|(_, outlet)| outlet)
    }

    /// A session has no connection any more. Gives the way to the one that it had.
    pub fn remove(&mut self, session: SessionId) -> Option<Outlet> {
        let (connection, outlet) = self.outlets.remove(&session)?;
        self.resumed.remove(&connection);
        Some(outlet)
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
        let carries = self.outlets.get(session).is_some_and(|(carrier, _)| *carrier == connection);
        if carries && is_end {
            let session = *session;
            self.remove(session);
        }
        carries.then_some(input)
    }
}
