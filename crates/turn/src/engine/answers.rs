//! Answers to requests: successes and errors, signed for those who are known, and counted against
//! the reply limit for all others.

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Method, Request, Response, ResponseBuilder, SigningKey};

use super::Engine;
use crate::{
    Common, DropReason, FiveTuple, FromClient, MAX_LOGGED_NAME, Output, Via,
    auth::WrongCredentials, reply_limit::Source,
};

/// Answers a request, with a signature if its sender is known. There is nothing to send yet if the
/// result is `Ok(None)`.
pub(super) fn respond(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    request: &Request<'_>,
    key: Option<SigningKey<'_>>,
    result: Result<Option<ResponseBuilder>, ErrorCode>,
) -> FromClient {
    match result {
        Ok(None) => {}
        Ok(Some(response)) => send(engine, tuple, request.method, Ok(()), response.finish(key)),
        Err(code) => {
            let challenges = code == ErrorCode::Unauthorized;
            if key.is_none() {
                return refuse(engine, now, tuple, request, code, challenges);
            }
            let response = ResponseBuilder::error(request, code);
            let response = explain(&engine.common, now, tuple, request, code, challenges, response);
            send(engine, tuple, request.method, Err(code), response.finish(key));
        }
    }
    FromClient::Handled
}

/// Answers a request of an unknown sender with an error, if its address may have one more.
pub(super) fn refuse(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    request: &Request<'_>,
    code: ErrorCode,
    challenges: bool,
) -> FromClient {
    let source = source(&engine.common, now, tuple, request);
    if !engine.common.reply_limit.allow(now.instant, tuple.client.0, source) {
        engine.metrics.dropped(DropReason::ReplyLimit);
        return FromClient::Dropped(DropReason::ReplyLimit);
    }
    let response = match source {
        Source::Proved => ResponseBuilder::error(request, code),
        Source::Unproved(_) => ResponseBuilder::short_error(request, code),
    };
    let response = explain(&engine.common, now, tuple, request, code, challenges, response);
    send(engine, tuple, request.method, Err(code), response.finish(None));
    FromClient::Handled
}

/// Sends an answer and counts it.
pub(super) fn send(
    engine: &mut Engine,
    to: FiveTuple,
    method: Method,
    result: Result<(), ErrorCode>,
    bytes: Response,
) {
    engine.metrics.answered(method, result);
    engine.outputs.push(Output::Transmit { to, bytes });
}

/// Adds the attributes that a client needs beside the code of an error.
fn explain(
    common: &Common,
    now: Now,
    tuple: FiveTuple,
    request: &Request<'_>,
    code: ErrorCode,
    challenges: bool,
    mut response: ResponseBuilder,
) -> ResponseBuilder {
    if code == ErrorCode::UnknownAttribute {
        response = response.unknown_attributes(&request.attributes.unknown);
    }
    if challenges { challenge(common, now, tuple, response) } else { response }
}

/// Adds the attributes that a client needs to try again with credentials.
pub(super) fn challenge(
    common: &Common,
    now: Now,
    tuple: FiveTuple,
    response: ResponseBuilder,
) -> ResponseBuilder {
    let auth = &common.auth;
    let response = response.challenge(auth.realm(), auth.nonce(now, tuple.client));
    match auth.third_party() {
        Some(server_name) => response.third_party(server_name),
        None => response,
    }
}

/// Returns the proof that the source of a request is not forged, if there is one: a connection, or
/// a nonce that was sent to it.
pub(super) fn source(common: &Common, now: Now, tuple: FiveTuple, request: &Request<'_>) -> Source {
    let connected = matches!(tuple.via, Via::Stream(_));
    if connected || common.auth.has_nonce(now, tuple.client, request) {
        Source::Proved
    } else {
        Source::Unproved(request.transaction)
    }
}

/// Asks for a log line that says that credentials are wrong.
pub(super) fn log_wrong_credentials(
    engine: &mut Engine,
    tuple: FiveTuple,
    request: &Request<'_>,
    reason: WrongCredentials,
) {
    let user = request.attributes.username;
    let user = user.map(|user| user[..user.floor_char_boundary(MAX_LOGGED_NAME)].into());
    engine.outputs.push(Output::WrongCredentials { client: tuple.client, user, reason });
}
