//! The bodies of requests and answers, with the memory that they hold counted.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::exchange::Exchange;

/// The number of bytes of an answer that are handed over at a time: the least progress that is
/// noticed.
const PIECE: usize = 4 * 1024;

/// The memory that a piece of a body takes besides its bytes.
const PIECE_WEIGHT: usize = 64;

/// The body of a request, as it arrives.
pub(super) struct RequestBody {
    body: Incoming,
    exchange: Arc<Exchange>,
}

impl RequestBody {
    /// Counts the memory of `body` for this exchange.
    pub(super) fn new(body: Incoming, exchange: Arc<Exchange>) -> Self {
        Self { body, exchange }
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        // Trailers are not read.
        let Ok(data) = frame.into_data() else { return Poll::Ready(None) };
        if self.exchange.hold_more(data.len() + PIECE_WEIGHT).is_err() {
            return Poll::Ready(Some(Err("the client holds too much memory".into())));
        }
        // A slice would keep the whole buffer that it was read into.
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, handed over piece by piece.
pub(super) struct AnswerBody<G> {
    body: Body,
    /// The part of the last frame that is not handed over yet.
    rest: Bytes,
    exchange: Arc<Exchange>,
    /// Dropped when everything is handed over.
    _guard: G,
}

impl<G> AnswerBody<G> {
    /// Hands over `body`, and releases the exchange's memory when that is done.
    pub(super) fn new(body: Body, exchange: Arc<Exchange>, guard: G) -> Self {
        if !body.is_end_stream() {
            exchange.progress();
        }
        Self { body, rest: Bytes::new(), exchange, _guard: guard }
    }
}

impl<G> Drop for AnswerBody<G> {
    fn drop(&mut self) {
        self.exchange.release();
    }
}

impl<G: Unpin> hyper::body::Body for AnswerBody<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        self.exchange.progress();
        // hyper considers a stream of HTTP/2 done once it has handed over the last piece, which
        // leaves only when everything before it has been sent: so the last piece is one byte.
        let len = match self.rest.len() {
            all @ 2..=PIECE if self.body.is_end_stream() => all - 1,
            all => all.min(PIECE),
        };
        let piece = self.rest.split_to(len);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
