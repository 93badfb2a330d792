//! The connections of TCP allocations to peers (RFC 6062): made and accepted, counted and closed.

use std::net::SocketAddr;

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{ErrorCode, Method, ResponseBuilder, TransactionId};
use rand::Rng;

use super::{Engine, answers, tracing};
use crate::{
    AllocationId, ConnectionId, Direction, Output,
    connections::{ConnectRequest, State},
    transport::Transport,
};

/// Adds a connection to an allocation and to the quotas.
///
/// # Errors
/// 486 or 508 if there are too many.
pub(super) fn add(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    peer: PeerAddr,
    state: State,
) -> Result<ConnectionId, ErrorCode> {
    let Engine { common, allocations, connections, timers, rng, metrics, .. } = engine;
    let allocation = allocations.open_mut(id)?;
    // Each is a socket, as a channel's peer may be one's only peer.
    if allocation.connections().len() >= common.config.max_channels {
        return Err(ErrorCode::InsufficientCapacity);
    }
    common.shared.take_connection(&allocation.owner().user)?;
    metrics.connection_opened();
    let connection = connections.insert(rng, now.instant, id, peer, state, timers);
    allocation.add_connection(connection);
    Ok(connection)
}

/// Adds a connection that a peer has made to the relayed address of an allocation, and tells the
/// client of it. Returns `None` if the peer has no permission or there are too many.
pub(super) fn accept(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    source: SocketAddr,
) -> Option<ConnectionId> {
    let common = &engine.common;
    let peer = common.addresses.from_wire(source);
    let allocation = engine.allocations.get(id)?;
    let permission = allocation.permissions().get(peer.0.ip())?;
    // Of our own addresses only relayed ones are peers, here as everywhere.
    if allocation.transport() != Transport::Tcp
        || permission.is_for_relayed() && !common.relayed.contains(source, Transport::Tcp)
    {
        return None;
    }
    let to = allocation.tuple();
    let connection = add(engine, now, id, peer, State::Unbound).ok()?;
    let number = engine.connections.get(connection)?.number();
    let transaction = TransactionId(engine.rng.random());
    let bytes = ResponseBuilder::connection_attempt(transaction, peer.0, number);
    engine.outputs.push(Output::Transmit { to, bytes });
    Some(connection)
}

/// Counts bytes that went over a connection in a direction, for its limits and its usage.
pub(super) fn count_relayed(
    engine: &Engine,
    now: Now,
    id: ConnectionId,
    direction: Direction,
    bytes: usize,
) {
    let Some(connection) = engine.connections.get(id) else { return };
    let Some(allocation) = engine.allocations.get(connection.allocation()) else { return };
    allocation.limits().charge(direction, now.instant, bytes);
    match direction {
        Direction::Up => {
            allocation.usage().add_up(bytes);
            engine.metrics.relayed_up(bytes);
        }
        Direction::Down => {
            allocation.usage().add_down(bytes);
            engine.metrics.relayed_down(bytes);
        }
    }
}

/// Answers a Connect whose connection did not come to be, if one waits, and closes the connection.
pub(super) fn refuse(engine: &mut Engine, id: ConnectionId, code: ErrorCode) {
    let Some(connection) = engine.connections.get(id) else { return };
    if let Some(request) = connection.pending_request()
        && let Some(allocation) = engine.allocations.get(connection.allocation())
    {
        let ConnectRequest { transaction, fingerprint, key } = request;
        let to = allocation.tuple();
        let response = ResponseBuilder::error_to(Method::Connect, transaction, fingerprint, code);
        let bytes = response.finish(Some(key.expose()));
        let owner = tracing::owner(engine, allocation.owner());
        answers::send(engine, to, Method::Connect, Err(code), bytes);
        tracing::answered_later(engine, to, owner, Method::Connect, Err(code));
    }
    close(engine, id);
}

/// Closes a connection that was not made, or not bound, in time.
pub(super) fn expire(engine: &mut Engine, id: ConnectionId) {
    refuse(engine, id, ErrorCode::ConnectionTimeoutOrFailure);
}

/// Forgets a connection and has it closed with its stream, unless it is gone already.
pub(super) fn close(engine: &mut Engine, id: ConnectionId) {
    let Some(connection) = engine.connections.remove(id, &mut engine.timers) else { return };
    if let Ok(allocation) = engine.allocations.open_mut(connection.allocation()) {
        engine.common.shared.release_connection(&allocation.owner().user);
        allocation.remove_connection(id);
    }
    engine.metrics.connection_closed();
    let stream = connection.stream();
    if let Some(stream) = stream {
        engine.streams.set_connection(stream, None);
    }
    engine.outputs.push(Output::CloseConnection { connection: id, stream });
}
