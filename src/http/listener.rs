//! The one HTTP listener: takes connections within the limits and serves the app on each.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::Service;

use super::{
    app::{App, Phase},
    counters::{Counted, Refusal},
    limits::{Connections, Place},
};

/// How long a client may take for the head of a request, and be idle before the next one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);

/// The most that is read ahead of a request: its head must fit in, with a token of 8 KiB.
const READ_BUFFER: usize = 32 * 1024;

/// How long open requests may take to be answered when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote(pub SocketAddr);

/// Serves until the server stops.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    connections: Connections,
) {
    let mut tasks = JoinSet::new();
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.reached(Phase::Stopping) => break,
            Some(_) = tasks.join_next() => continue,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            // The client is gone already: nobody's fault.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // Most likely there are no file descriptors left. They come back with time, and
                // until then each attempt would fail as this one did.
                if complained.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    complained = Some(Instant::now());
                    tracing::error!(%error, "cannot accept HTTP connections for now");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Signaling is small messages that somebody waits for.
        let _ = stream.set_nodelay(true);
        match connections.enter(remote.ip()) {
            Ok(place) => {
                let counted = app.counters.http_connections.enter();
                let stream = Stream { stream, _place: place, _counted: counted };
                tasks.spawn(connection(stream, Remote(remote), router.clone(), app.clone()));
            }
            Err(refusal) => {
                app.counters.refusals(refusal).add();
                turn_away(stream, refusal);
            }
        }
    }
    // No listener, no new connections; those that are open finish what they are at.
    drop(listener);
    let done = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, done).await;
}

/// Serves the requests of one connection.
async fn connection(stream: Stream, remote: Remote, router: Router, app: Arc<App>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(remote);
        // A router is always ready.
        router.clone().call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // What goes wrong here is the client's: it went away, or did not speak HTTP, and has been told.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = app.reached(Phase::Stopping) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Tells a connection that there is no room. What does not fit into the socket's empty buffer, or
/// a client that does not read, is not worth waiting for.
fn turn_away(mut stream: TcpStream, refusal: Refusal) {
    let (status, message) = match refusal {
        Refusal::Total => {
            ("503 Service Unavailable", "The server has as many connections as it takes.")
        }
        _ => ("429 Too Many Requests", "There are too many connections from your address."),
    };
    let body = format!(
        r#"{{"ok":false,"error":{{"code":"too_many_connections","message":"{message}"}}}}"#
    );
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: \
         5\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.try_write(response.as_bytes());
    tokio::spawn(async move {
        let _ = stream.shutdown().await;
    });
}

/// A connection that holds its place among the others, also once it is a WebSocket.
struct Stream {
    stream: TcpStream,
    _place: Place,
    _counted: Counted,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
