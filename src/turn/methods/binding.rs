//! Binding (RFC 8489 §3): what is my address?

use crate::{
    ids::ClientAddr,
    stun::{ErrorCode, Request, ResponseBuilder},
    turn::Engine,
};

impl Engine {
    /// Answers with the address that the request came from. Anyone may ask, as often as they
    /// like: the answer is hardly larger than the question.
    pub(in crate::turn) fn binding(
        client: ClientAddr,
        request: &Request<'_>,
    ) -> Result<ResponseBuilder, ErrorCode> {
        Ok(ResponseBuilder::success(request).mapped_address(client.0))
    }
}
