//! Serving of HTTP on a connection that was accepted elsewhere.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    admission::Admission,
    app::{App, Phase},
    arrival::Arrival,
    counters::Refusal,
    exchange::Exchange,
    lease::Lease,
    limits::{ConnectionLimits, Purpose},
    request_head,
    requests::RequestHandler,
    streams::Streams,
    unauthenticated_input::InputCounter,
    write_timeout::TimeoutStream,
};

/// The longest time that a client may take for the head of a request, and be idle before the next
/// one.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest time that a connection of a trusted proxy may be idle. Proxies keep connections for
/// the next request, and lose that request if the connection is closed at the same time: so it is
/// longer than their own limit, which is usually a minute or two.
const PROXY_IDLE: Duration = Duration::from_secs(15 * 60);

/// The number of bytes that are read ahead of a request: its head must fit in, with a token of 8
/// KiB.
const READ_BUFFER: usize = 32 * 1024;

/// The longest list of fields in the head of a request over HTTP/2, in bytes as RFC 9113 §6.5.2
/// counts them: with an overhead of 32 for each field.
const HEADER_LIST: u32 = 16 * 1024;

/// The number of requests that a connection of HTTP/2 may have open at a time.
const MAX_STREAMS: u32 = 32;

/// The number of bytes of requests' bodies that may be in flight over HTTP/2: on one stream, and on
/// all of a connection.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// The number of bytes of an answer that may wait in a stream of HTTP/2.
const SEND_BUFFER: usize = 16 * 1024;

/// The longest time for the end of a connection of HTTP/2 that is closed for being idle, or because
/// one of its answers was not read: a request may be in flight.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Serves HTTP on connections, and limits their number.
#[derive(Clone)]
pub struct Service {
    router: Router,
    app: Arc<App>,
    connections: ConnectionLimits,
}

impl Service {
    pub(super) fn new(router: Router, app: Arc<App>, connections: ConnectionLimits) -> Self {
        Self { router, app, connections }
    }

    /// Takes a slot for a connection from `address`. A trusted proxy may have any number of them:
    /// its requests are counted for its clients.
    ///
    /// # Errors
    /// The HTTP answer to a client that gets no slot; it has been counted.
    #[cfg(test)]
    pub fn admit(&self, address: IpAddr) -> Result<Lease, String> {
        self.name(self.admit_unnamed(Purpose::Http)?, address)
    }

    /// Takes a slot for a connection from a proxy that has not named its client yet. It does not
    /// count for the proxy's address.
    ///
    /// # Errors
    /// The HTTP answer to a client that gets no slot; it has been counted.
    pub fn admit_unnamed(&self, purpose: Purpose) -> Result<Lease, String> {
        let slot = self.connections.enter_unnamed(purpose);
        let slot = slot.map_err(|refusal| self.refuse(refusal))?;
        Ok(Lease::new(slot, self.app.counters.connections.enter()))
    }

    /// Assigns the slot to a client's address, now that the proxy has named it.
    ///
    /// # Errors
    /// The HTTP answer to a client that gets no slot; it has been counted.
    pub fn name(&self, lease: Lease, address: IpAddr) -> Result<Lease, String> {
        if self.app.trusted_proxies.contains(address) {
            return Ok(lease.of_proxy());
        }
        lease.name(address).map_err(|refusal| self.refuse(refusal))
    }

    /// Changes the purpose of the slot. Returns false if the limit of the new purpose is reached.
    pub fn take_for(&self, lease: &mut Lease, purpose: Purpose) -> bool {
        let taken = lease.take_for(purpose);
        if let Err(refusal) = taken {
            self.app.counters.refusals(refusal).add();
        }
        taken.is_ok()
    }

    fn refuse(&self, refusal: Refusal) -> String {
        self.app.counters.refusals(refusal).add();
        no_room(refusal)
    }

    /// Completes once connections are to end.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.app.wait_for(Phase::Stopping)
    }

    /// Serves the requests of one connection, with HTTP/2 if client and server have agreed on it,
    /// until it ends or the server stops.
    pub async fn serve<S>(self, stream: S, lease: Lease, arrival: Arrival)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { router, app, connections } = self;
        let upgraded = lease.upgraded();
        let idle = if upgraded.is_some() { PROXY_IDLE } else { HEADER_TIMEOUT };
        let is_proxy = upgraded.is_some();
        let admission = Admission::new(app.clone(), connections, arrival, upgraded);
        let counter = Arc::new(InputCounter::default());
        let stream = TimeoutStream::new(stream, lease, counter.clone());
        let memory = app.request_memory.clone();
        let handler = Arc::new(RequestHandler::new(app.clone(), router, admission, counter));
        let requests = handler.requests().clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let open = handler.requests().begin();
            handler.clone().answer(request_head::compact(request), open)
        });
        let io = TokioIo::new(stream);
        // Errors here are the client's: it has gone away, or has not sent HTTP, and has been told.
        if arrival.is_http2 {
            let streams = Streams::new(app.clone(), memory);
            let connection = http2::Builder::new(streams.clone())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(HEADER_LIST)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER)
                .keep_alive_interval(HEADER_TIMEOUT)
                .serve_connection(io, service);
            let mut connection = std::pin::pin!(connection);
            let over = async {
                tokio::select! {
                    () = app.wait_for(Phase::Stopping) => HEADER_TIMEOUT,
                    // HTTP/1 has a timeout of its own for this.
                    () = requests.none_for(HEADER_TIMEOUT) => LAST_WORDS,
                    // A proxy also carries requests of other clients, which read their answers.
                    () = streams.stalled(), if !is_proxy => LAST_WORDS,
                }
            };
            tokio::select! {
                _ = connection.as_mut() => {}
                grace = over => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(grace, connection).await;
                }
            }
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(idle)
                .max_buf_size(READ_BUFFER)
                .serve_connection(io, service)
                .with_upgrades();
            let serving = async {
                let mut connection = std::pin::pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = app.wait_for(Phase::Stopping) => {
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
            };
            if let Err(end) = Exchange::new(memory).serve(serving).await {
                app.counters.curbs(end.into()).add();
            }
        }
    }
}

/// Returns the answer to a connection for which there is no slot.
fn no_room(refusal: Refusal) -> String {
    let (status, message) = match refusal {
        Refusal::Total | Refusal::Files => {
            ("503 Service Unavailable", "The server has as many connections as it takes.")
        }
        _ => ("429 Too Many Requests", "There are too many connections from your address."),
    };
    let body = format!(
        r#"{{"ok":false,"error":{{"code":"too_many_connections","message":"{message}"}}}}"#
    );
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: \
         5\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
