//! The dispatch of requests: each is authenticated, led to its allocation, and handed to its
//! method.

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Method, Request, ResponseBuilder, SigningKey};

use super::{
    Engine, allocate, answers, binding, channel_bind, comprehension, connect, connection_bind,
    create_permission, mobility, refresh, tracing,
};
use crate::{
    Common, FiveTuple, FromClient, TraceOwner,
    auth::{TurnAuthError, TurnIdentity, WrongCredentials},
    connections::Connections,
    faults::RequestFault,
};

/// Answers a request: every way out of here is an answer, except for the reply limit.
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    request: &Request<'_>,
) -> FromClient {
    if request.method == Method::Binding {
        if let Some(fault) = fault(engine, Method::Binding, None) {
            return inject(engine, now, tuple, request, None, None, fault);
        }
        return binding::handle(engine, now, tuple, request);
    }
    let id = mobility::addressed(engine, tuple, request);
    let owner = id.and_then(|id| engine.allocations.get(id)).map(|allocation| allocation.owner());
    match engine.common.auth.authenticate(now, tuple.client, request, owner) {
        Ok(identity) => {
            let (key, owner) = (identity.key, tracing::owner(engine, &identity));
            if engine.common.expired.contains(&identity) {
                let expired = WrongCredentials::Expired;
                answers::log_wrong_credentials(engine, tuple, request, expired);
                let code = ErrorCode::Unauthorized;
                tracing::answered(engine, tuple, owner, request, Err(code), Some(expired));
                return answers::refuse(engine, now, tuple, request, code, true);
            }
            if let Some(fault) = fault(engine, request.method, Some(&identity)) {
                return inject(engine, now, tuple, request, owner, Some(key.expose()), fault);
            }
            // Credentials first, then what must be understood (RFC 8489 §6.3).
            let is_expired = identity.is_expired(now);
            let result = comprehension::check(request)
                .and_then(|()| dispatch(engine, now, tuple, identity, request));
            if let Some(result) = result.as_ref().map(Option::as_ref).transpose() {
                let outcome = result.map(drop).map_err(|code| *code);
                let refusal =
                    (outcome == Err(ErrorCode::Unauthorized)).then_some(match is_expired {
                        true => WrongCredentials::Expired,
                        false => WrongCredentials::Revoked,
                    });
                tracing::answered(engine, tuple, owner, request, outcome, refusal);
            }
            answers::respond(engine, now, tuple, request, Some(key.expose()), result)
        }
        Err(error) => {
            let reason = match error {
                TurnAuthError::Wrong => engine.common.auth.why_wrong(now, tuple.client, request),
                _ => None,
            };
            if let Some(reason) = reason {
                answers::log_wrong_credentials(engine, tuple, request, reason);
            }
            if let Some(owner) = tracing::claimed_owner(engine, request) {
                let result = Err(error.code());
                tracing::answered(engine, tuple, Some(owner), request, result, reason);
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

/// Returns the fault that a request is to meet with, if tests want one.
fn fault(engine: &Engine, method: Method, identity: Option<&TurnIdentity>) -> Option<RequestFault> {
    let (user, call) = identity.map_or(("", None), |identity| (&*identity.user, identity.call));
    engine.request_faults.as_ref()?.take(method, user, call)
}

/// Executes a fault. A code that challenges is answered as the engine itself would: without a
/// signature, with a nonce.
fn inject(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    request: &Request<'_>,
    owner: Option<TraceOwner>,
    key: Option<SigningKey<'_>>,
    fault: RequestFault,
) -> FromClient {
    let code = match fault {
        RequestFault::Silence => None,
        RequestFault::Answer(code) => Some(code),
    };
    tracing::injected(engine, tuple, owner, request, code);
    match fault {
        RequestFault::Silence => FromClient::Handled,
        RequestFault::Answer(code @ (ErrorCode::Unauthorized | ErrorCode::StaleNonce)) => {
            answers::refuse(engine, now, tuple, request, code, true)
        }
        RequestFault::Answer(code) => answers::respond(engine, now, tuple, request, key, Err(code)),
    }
}

/// Returns the index of the worker that a request names, if it names one.
pub(super) fn worker_for(common: &Common, request: &Request<'_>) -> Option<u16> {
    match request.method {
        Method::ConnectionBind => request.attributes.connection_id.map(Connections::worker_of),
        Method::Refresh => Some(mobility::ticket(common, request)?.ok()?.worker()),
        _ => None,
    }
}
