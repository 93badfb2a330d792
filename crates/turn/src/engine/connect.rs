//! Connect (RFC 6062 §5.2): a connection from the relayed address to a peer.

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{ErrorCode, Family, Method, Request, ResponseBuilder};

use super::{Engine, answers, connections, tracing};
use crate::{
    AllocationId, ConnectionId, Output,
    auth::LongTermKey,
    connections::{ConnectRequest, State},
    transport::Transport,
};

/// Has the connection made; the answer follows in [`connected`].
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    key: LongTermKey,
    request: &Request<'_>,
) -> Result<(), ErrorCode> {
    let peer = PeerAddr(request.attributes.peer.ok_or(ErrorCode::BadRequest)?);
    let allocation = engine.allocations.open_ref(id)?;
    if allocation.transport() != Transport::Tcp {
        return Err(ErrorCode::AllocationMismatch);
    }
    if Family::of(peer.0) != allocation.family() {
        return Err(ErrorCode::PeerAddressFamilyMismatch);
    }
    let to = engine.common.check_peer(allocation.owner(), peer, Transport::Tcp)?;
    let from = allocation.local();
    let mut others = allocation.connections().iter().filter_map(|c| engine.connections.get(*c));
    if others.any(|other| other.peer() == peer) {
        return Err(ErrorCode::ConnectionAlreadyExists);
    }
    let (transaction, fingerprint) = (request.transaction, request.fingerprint);
    let state = State::Connecting(ConnectRequest { transaction, fingerprint, key });
    let connection = connections::add(engine, now, id, peer, state)?;
    engine.outputs.push(Output::Connect { allocation: id, connection, from, to });
    Ok(())
}

/// Answers the request, now that the connection is known to be made or not.
pub(super) fn connected(engine: &mut Engine, now: Now, id: ConnectionId, made: bool) {
    let Some(connection) = engine.connections.get_mut(id) else { return };
    let Some(request) = connection.pending_request() else { return };
    if !made {
        connections::refuse(engine, id, ErrorCode::ConnectionTimeoutOrFailure);
        return;
    }
    // The client has 30 seconds from when it is told.
    connection.establish(id, now.instant, &mut engine.timers);
    let Some(allocation) = engine.allocations.get(connection.allocation()) else { return };
    let ConnectRequest { transaction, fingerprint, key } = request;
    let response = ResponseBuilder::success_to(Method::Connect, transaction, fingerprint);
    let bytes = response.connection_id(connection.number()).finish(Some(key.expose()));
    let to = allocation.tuple();
    let owner = tracing::owner(engine, allocation.owner());
    answers::send(engine, to, Method::Connect, Ok(()), bytes);
    tracing::answered_later(engine, to, owner, Method::Connect, Ok(()));
}
