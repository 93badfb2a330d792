//! Serving HTTP on a connection that somebody else has accepted.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{
    body::Incoming,
    header::{HOST, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service as _;

use super::{
    app::{App, Phase},
    counters::{Counted, Refusal},
    entry::{Arrival, Entry, Upgraded},
    leased::Leased,
    limits::{Connections, Place},
};

/// How long a client may take for the head of a request, and be idle before the next one.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest time that a connection of a trusted proxy may be idle. Proxies keep theirs for the
/// next request, and one that is closed just as it is used costs that request: so it is longer than
/// their own limit, which is mostly a minute or two.
const PROXY_IDLE: Duration = Duration::from_secs(15 * 60);

/// The most that is read ahead of a request: its head must fit in, with a token of 8 KiB.
const READ_BUFFER: usize = 32 * 1024;

/// How many requests a connection of HTTP/2 may have open at a time.
const MAX_STREAMS: u32 = 64;

/// Serves HTTP on connections, and says whether there is room for one more.
#[derive(Clone)]
pub struct Service {
    router: Router,
    app: Arc<App>,
    connections: Connections,
}

/// A connection's place among the others, whatever it turns out to be; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    place: Place,
    counted: Counted,
    /// Where it is a trusted proxy's: the place of the client whose WebSocket it becomes.
    upgraded: Option<Upgraded>,
}

impl Service {
    pub(super) fn new(router: Router, app: Arc<App>, connections: Connections) -> Self {
        Self { router, app, connections }
    }

    /// A place for a connection from `address`. A trusted proxy may have any number of them: its
    /// requests count for its clients, each by itself.
    ///
    /// # Errors
    /// The HTTP answer to whom there is no room for; it has been counted.
    pub fn admit(&self, address: IpAddr) -> Result<Lease, String> {
        self.name(self.admit_unnamed()?, address)
    }

    /// A place for a connection from a proxy that has not said yet whose it is. Whoever that is, it
    /// takes no place of the proxy's address.
    ///
    /// # Errors
    /// As with [`Service::admit`].
    pub fn admit_unnamed(&self) -> Result<Lease, String> {
        let place = self.connections.enter_unnamed().map_err(|refusal| self.refuse(refusal))?;
        Ok(Lease { place, counted: self.app.counters.connections.enter(), upgraded: None })
    }

    /// The same place, now that the proxy has said whose it is.
    ///
    /// # Errors
    /// As with [`Service::admit`].
    pub fn name(&self, lease: Lease, address: IpAddr) -> Result<Lease, String> {
        let Lease { place, counted, .. } = lease;
        if self.app.trusted_proxies.contains(address) {
            return Ok(Lease { place, counted, upgraded: Some(Upgraded::default()) });
        }
        let place = place.name(address).map_err(|refusal| self.refuse(refusal))?;
        Ok(Lease { place, counted, upgraded: None })
    }

    fn refuse(&self, refusal: Refusal) -> String {
        self.app.counters.refusals(refusal).add();
        no_room(refusal)
    }

    /// Returns once connections are to end.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.app.reached(Phase::Stopping)
    }

    /// Serves the requests of one connection, of HTTP/2 where client and server have agreed on it,
    /// until it is over or the server stops.
    pub async fn serve<S>(self, stream: S, lease: Lease, arrival: Arrival)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { router, app, connections } = self;
        let upgraded = lease.upgraded.clone();
        let idle = if upgraded.is_some() { PROXY_IDLE } else { HEADER_TIMEOUT };
        let entry = Arc::new(Entry::new(app.clone(), connections, arrival, upgraded));
        let stream = Leased::new(stream, lease);
        let requests = Arc::new(Requests::default());
        let counted = requests.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            name_host(&mut request);
            let open = counted.begin();
            let entry = entry.clone();
            // A router is always ready.
            let admitted = match entry.admit(&mut request) {
                Ok(visit) => Ok((visit, router.clone().call(request))),
                Err(error) => Err(entry.refuse(request.headers(), error)),
            };
            async move {
                let _open = open;
                let (visit, answer) = match admitted {
                    Ok(admitted) => admitted,
                    Err(refusal) => return Ok(refusal),
                };
                let response = answer.await;
                response.inspect(|response| entry.answered(visit, response))
            }
        });
        let io = TokioIo::new(stream);
        // What goes wrong here is the client's: it went away, or did not speak HTTP, and has been
        // told.
        if arrival.is_http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(READ_BUFFER as u32)
                .keep_alive_interval(HEADER_TIMEOUT)
                .serve_connection(io, service);
            let mut connection = std::pin::pin!(connection);
            let over = async {
                tokio::select! {
                    () = app.reached(Phase::Stopping) => {}
                    // HTTP/1 has a timeout of its own for this.
                    () = requests.none_for(HEADER_TIMEOUT) => {}
                }
            };
            tokio::select! {
                _ = connection.as_mut() => {}
                () = over => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(HEADER_TIMEOUT, connection).await;
                }
            }
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(idle)
                .max_buf_size(READ_BUFFER)
                .serve_connection(io, service)
                .with_upgrades();
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = app.reached(Phase::Stopping) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
    }
}

/// The requests of one connection that are being answered.
#[derive(Debug, Default)]
struct Requests {
    open: AtomicUsize,
    /// How many there have been.
    begun: AtomicUsize,
}

/// One of them, until dropped.
struct Open(Arc<Requests>);

impl Requests {
    fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Returns when there has been none for as long as this, or nearly twice as long.
    async fn none_for(&self, time: Duration) {
        let mut seen = None;
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            if self.open.load(Ordering::Relaxed) == 0 && seen == Some(begun) {
                return;
            }
            seen = Some(begun);
            tokio::time::sleep(time).await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says in the header `Host` what HTTP/2 says in its place (RFC 9113 §8.3.1), so that nobody has to
/// look in two places.
fn name_host<B>(request: &mut hyper::Request<B>) {
    if let Some(authority) = request.uri().authority()
        && !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
}

/// Tells a connection that there is no room.
fn no_room(refusal: Refusal) -> String {
    let (status, message) = match refusal {
        Refusal::Total => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_without_requests_is_over_and_one_with_them_is_not() {
        let requests = Arc::new(Requests::default());
        let over = async |within| {
            let idle = requests.none_for(Duration::from_millis(5));
            tokio::time::timeout(Duration::from_millis(within), idle).await.is_ok()
        };
        let open = requests.begin();
        assert!(!over(50).await, "one is open");
        drop(open);
        assert!(over(10_000).await);
    }
}
