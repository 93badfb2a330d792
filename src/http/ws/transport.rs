//! The stream below a WebSocket: the TCP connection itself if there is no TLS, without the layers
//! that HTTP had around it. Each of them is memory to access for every read and write, which is not
//! in the cache for most connections of a busy server.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::http::write_timeout::TimeoutStream;

/// A connection that was upgraded: plain TCP, or else TLS or what a test has made.
pub(in crate::http) type Transport = Either<TimeoutStream<TcpStream>, TokioIo<Upgraded>>;

/// Takes a connection over from HTTP, with what was read of it too early.
pub(super) fn take_over(upgraded: Upgraded) -> (Transport, Bytes) {
    match upgraded.downcast::<TokioIo<TimeoutStream<TcpStream>>>() {
        Ok(parts) => (Either::Left(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => (Either::Right(TokioIo::new(upgraded)), Bytes::new()),
    }
}

/// Ends the counting of what a stranger sends, which is over; over TLS it only counts nothing any
/// more.
pub(super) fn trust(transport: &mut Transport) {
    if let Either::Left(stream) = transport {
        stream.trust();
    }
}
