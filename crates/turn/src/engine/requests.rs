//! The dispatch of requests: each is authenticated, led to its allocation, and handed to its
//! method.

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Method, Request, ResponseBuilder};

use super::{
    Engine, allocate, answers, binding, channel_bind, comprehension, connect, connection_bind,
    create_permission, mobility, refresh,
};
use crate::{
    Common, FiveTuple, FromClient,
    auth::{TurnAuthError, TurnIdentity},
    connections::Connections,
};

/// Answers a request: every way out of here is an answer, except for the reply limit.
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    request: &Request<'_>,
) -> FromClient {
    if request.method == Method::Binding {
        return binding::handle(engine, now, tuple, request);
    }
    let id = mobility::addressed(engine, tuple, request);
    let owner = id.and_then(|id| engine.allocations.get(id)).map(|allocation| allocation.owner());
    match engine.common.auth.authenticate(now, tuple.client, request, owner) {
        Ok(identity) => {
            let key = identity.key;
            // Credentials first, then what must be understood (RFC 8489 §6.3).
            let result = comprehension::check(request)
                .and_then(|()| dispatch(engine, now, tuple, identity, request));
            answers::respond(engine, now, tuple, request, Some(key.expose()), result)
        }
        Err(error) => {
            if error == TurnAuthError::Wrong
                && let Some(reason) = engine.common.auth.why_wrong(now, tuple.client, request)
            {
                answers::log_wrong_credentials(engine, tuple, request, reason);
            }
            answers::refuse(engine, now, tuple, request, error.code(), error.challenges())
        }
    }
}

fn dispatch(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    identity: TurnIdentity,
    request: &Request<'_>,
) -> Result<Option<ResponseBuilder>, ErrorCode> {
    if request.method == Method::Allocate {
        return allocate::handle(engine, now, tuple, identity, request);
    }
    if request.method == Method::ConnectionBind {
        return connection_bind::handle(engine, tuple, &identity, request);
    }
    let id = mobility::find(engine, tuple, &identity, request)?;
    // A client that has shown a new access token signs with its key from now on, and has its time
    // (RFC 7635 §4).
    let allocation = engine.allocations.open_mut(id)?;
    allocation.renew_credentials(identity.key, identity.expires);
    match request.method {
        Method::Refresh => refresh::handle(engine, now, id, request),
        Method::CreatePermission => create_permission::handle(engine, now, id, request),
        Method::ChannelBind => channel_bind::handle(engine, now, id, request),
        Method::Connect => {
            return connect::handle(engine, now, id, identity.key, request).map(|()| None);
        }
        Method::Binding | Method::Allocate | Method::ConnectionBind | Method::Send => {
            unreachable!("{:?} goes another way", request.method)
        }
    }
    .map(Some)
}

/// Returns the index of the worker that a request names, if it names one.
pub(super) fn worker_for(common: &Common, request: &Request<'_>) -> Option<u16> {
    match request.method {
        Method::ConnectionBind => request.attributes.connection_id.map(Connections::worker_of),
        Method::Refresh => Some(mobility::ticket(common, request)?.ok()?.worker()),
        _ => None,
    }
}
