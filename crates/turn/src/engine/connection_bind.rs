//! ConnectionBind (RFC 6062 §5.4): a stream of the client becomes one with a connection to a peer.

use callbox_stun::{ErrorCode, Method, Request, ResponseBuilder};

use super::{Engine, answers, tracing};
use crate::{FiveTuple, Output, Via, auth::TurnIdentity, connections::Connection};

/// Binds the stream that the request came by. It is answered here: the answer is the last message
/// on the stream, and what the peer has sent follows it.
pub(super) fn handle(
    engine: &mut Engine,
    tuple: FiveTuple,
    identity: &TurnIdentity,
    request: &Request<'_>,
) -> Result<Option<ResponseBuilder>, ErrorCode> {
    // "If the request was not received over TCP, or on a connection that has an allocation or is
    // bound, or if there is no such connection of this user, 400."
    let (Via::Stream(stream), Some(number)) = (tuple.via, request.attributes.connection_id) else {
        return Err(ErrorCode::BadRequest);
    };
    let id = engine.connections.find(number).ok_or(ErrorCode::BadRequest)?;
    let connection = engine.connections.get(id).ok_or(ErrorCode::BadRequest)?;
    if engine.is_in_use(tuple) || !may_bind(engine, connection, identity) {
        return Err(ErrorCode::BadRequest);
    }
    let connection = engine.connections.get_mut(id).ok_or(ErrorCode::BadRequest)?;
    connection.bind(id, stream, &mut engine.timers);
    engine.streams.set_connection(stream, Some(id));
    let response = ResponseBuilder::success(request).finish(Some(identity.key.expose()));
    answers::send(engine, tuple, Method::ConnectionBind, Ok(()), response);
    let owner = tracing::owner(engine, identity);
    tracing::answered_later(engine, tuple, owner, Method::ConnectionBind, Ok(()));
    engine.outputs.push(Output::Splice { stream, connection: id });
    Ok(None)
}

/// Returns true if a connection is the user's to bind.
fn may_bind(engine: &Engine, connection: &Connection, identity: &TurnIdentity) -> bool {
    let allocation = engine.allocations.get(connection.allocation());
    connection.is_unbound()
        && allocation.is_some_and(|allocation| allocation.owner().username == identity.username)
}
