//! Binding (RFC 8489 §3): the client asks for its address, and where there are two addresses, for
//! the behaviour of the NAT in front of it (RFC 5780).

use std::net::SocketAddr;

use callbox_base::{clock::Now, ids::ClientAddr};
use callbox_stun::{ErrorCode, Method, Request, ResponseBuilder};

use super::{Engine, answers, comprehension, tracing};
use crate::{DropReason, FiveTuple, FromClient, Via};

/// The longest PADDING in an answer. It is never longer than what came.
const MAX_PADDING: u16 = 1500;

/// Answers with the address that the request came from. Anyone may ask, as often as they like: the
/// answer is hardly larger than the request. A request for an answer to another address, or for a
/// larger one, counts against the error answers that an address is sent in a second.
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    request: &Request<'_>,
) -> FromClient {
    let common = &engine.common;
    let discovery = request.attributes.discovery;
    let may = || {
        let source = answers::source(common, now, tuple, request);
        common.reply_limit.allow(now.instant, tuple.client.0, source)
    };
    if discovery.is_any() && !may() {
        engine.metrics.dropped(DropReason::ReplyLimit);
        return FromClient::Dropped(DropReason::ReplyLimit);
    }
    // "If the Binding Request also contained the RESPONSE-PORT attribute the server MUST return an
    // error response of type 400" (RFC 5780 §6.1, of PADDING).
    let both = discovery.padding.is_some() && discovery.response_port.is_some();
    let wrong = both || discovery.response_port == Some(0);
    let fine =
        comprehension::check(request).and(if wrong { Err(ErrorCode::BadRequest) } else { Ok(()) });
    if let Err(code) = fine {
        tracing::answered(engine, tuple, None, request, Err(code), None);
        return answers::respond(engine, now, tuple, request, None, Err(code));
    }
    // No authentication, so that no key signs the answer (RFC 8489 §9.2 is for TURN).
    let mut response = ResponseBuilder::success(request).mapped_address(tuple.client.0);
    let mut to = tuple;
    let way = common
        .quartet
        .and_then(|quartet| quartet.answer_from(tuple.via, discovery.change.unwrap_or_default()));
    if let Some((from, other)) = way {
        let addresses = &common.addresses;
        let public = |listener| addresses.advertise(addresses.listener(listener)).0;
        response =
            response.plain_mapped_address(tuple.client.0).origin(public(from), public(other));
        to.via = Via::Listener(from);
    }
    if let Some(len) = discovery.padding {
        response = response.padding(len.min(MAX_PADDING));
    }
    if let Some(port) = discovery.response_port {
        to.client = ClientAddr(SocketAddr::new(tuple.client.0.ip(), port));
    }
    answers::send(engine, to, Method::Binding, Ok(()), response.finish(None));
    tracing::answered(engine, tuple, None, request, Ok(()), None);
    FromClient::Handled
}
