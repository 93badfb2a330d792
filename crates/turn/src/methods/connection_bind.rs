//! ConnectionBind (RFC 6062 §5.4): a stream of the client becomes one with a connection to a peer.

use callbox_stun::{ErrorCode, Method, Request, ResponseBuilder};

use crate::{
    Engine, FiveTuple, Output, Via, auth::TurnIdentity, connections::State, engine::Timer,
};

impl Engine {
    /// Binds the stream that the request came by. It is answered here: the answer is the last
    /// message on the stream, and what the peer has sent follows it.
    pub(crate) fn connection_bind(
        &mut self,
        tuple: FiveTuple,
        identity: &TurnIdentity,
        request: &Request<'_>,
    ) -> Result<Option<ResponseBuilder>, ErrorCode> {
        // "If the request was not received over TCP, or on a connection that has an allocation or
        // is bound, or if there is no such connection of this user, 400."
        let (Via::Stream(stream), Some(number)) = (tuple.via, request.attributes.connection_id)
        else {
            return Err(ErrorCode::BadRequest);
        };
        let connection = self.connections.find(number).ok_or(ErrorCode::BadRequest)?;
        if self.is_in_use(tuple) || !self.may_bind(connection, identity) {
            return Err(ErrorCode::BadRequest);
        }
        let bound = self.connections.get_mut(connection).ok_or(ErrorCode::BadRequest)?;
        bound.state = State::Bound(stream);
        self.timers.clear(bound.due, Timer::Connection(connection));
        if let Some(stream) = self.streams.get_mut(stream.0 as usize) {
            stream.connection = Some(connection);
        }
        let response = ResponseBuilder::success(request).finish(Some(identity.key.expose()));
        self.answer(tuple, Method::ConnectionBind, Ok(()), response);
        self.outputs.push_back(Output::Splice { stream, connection });
        Ok(None)
    }
}
