//! Clients that come over TCP or TLS: what a client was given ends with its stream.

use super::{Engine, closing, connections, mobility};
use crate::{EndReason, StreamId};

/// Handles the end of a client's stream: its allocation ends with it, unless it may move.
pub(super) fn closed(engine: &mut Engine, id: StreamId) {
    let Some((tuple, connection)) = engine.streams.remove(id) else { return };
    if let Some(connection) = connection {
        connections::close(engine, connection);
    }
    if mobility::stream_lost(engine, tuple) {
        return;
    }
    let Some(allocation) = engine.allocations.on(tuple) else { return };
    if !engine.allocations.abandon(allocation) {
        closing::close_whole(engine, allocation, EndReason::Disconnected);
    }
}
