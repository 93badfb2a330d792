//! The requests of one connection: answering them, and counting the open ones.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
};
use hyper::{
    body::{Body as _, Incoming},
    header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER},
};
use tower::Service as _;

use super::{
    admission::Admission,
    app::App,
    bodies::{AnswerBody, RequestBody},
    counters::Curb,
    exchange::Exchange,
    request_head::{self, TooManyFields},
    unauthenticated_input::{ClientInput, InputCounter},
};

/// The memory that a request takes besides its head and its body, for the code that serves it.
const REQUEST_WEIGHT: usize = 4 * 1024;

/// The time in seconds after which a client may try again that was refused for lack of memory.
const RETRY_AFTER_SECS: u64 = 5;

/// An answer, handed over piece by piece.
pub(super) type Answer = Response<AnswerBody<Open>>;

/// Answers the requests of one connection.
pub(super) struct RequestHandler {
    app: Arc<App>,
    router: Router,
    admission: Admission,
    counter: Arc<InputCounter>,
    requests: Arc<Requests>,
}

impl RequestHandler {
    /// Answers with the pages of this router; `counter` counts the input of the connection.
    pub(super) fn new(
        app: Arc<App>,
        router: Router,
        admission: Admission,
        counter: Arc<InputCounter>,
    ) -> Self {
        Self { app, router, admission, counter, requests: Arc::default() }
    }

    /// Returns the requests that are open.
    pub(super) fn requests(&self) -> &Arc<Requests> {
        &self.requests
    }

    /// Answers a request, unless it or its answer would hold too much memory.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Result<Request<Incoming>, TooManyFields>,
        open: Open,
    ) -> Result<Answer, Infallible> {
        let exchange =
            Exchange::current().unwrap_or_else(|| Exchange::new(self.app.request_memory.clone()));
        let response = match request {
            Ok(request) => self.serve(request, &exchange).await?,
            Err(TooManyFields) => self.curb(Curb::Fields),
        };
        let body = response.body();
        let size = body.size_hint().lower() as usize;
        let accounted = match body.is_end_stream() {
            true => exchange.hold(0),
            false => exchange.hold(REQUEST_WEIGHT + size),
        };
        let response = match accounted {
            Ok(()) => response,
            Err(full) => self.curb(full.into()),
        };
        Ok(response.map(|body| AnswerBody::new(body, exchange, open)))
    }

    async fn serve(
        &self,
        mut request: Request<Incoming>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Body>, Infallible> {
        name_host(&mut request);
        let admitted = match self.admission.admit(&mut request) {
            Ok(admitted) => admitted,
            Err(error) => return Ok(self.admission.refuse(request.headers(), error)),
        };
        let weight = REQUEST_WEIGHT + request_head::weight(&request);
        if let Err(full) = exchange.begin(admitted.client(), weight) {
            return Ok(self.curb(full.into()));
        }
        let input = ClientInput { counter: self.counter.clone(), client: admitted.client() };
        request.extensions_mut().insert(input);
        let request = request.map(|body| Body::new(RequestBody::new(body, exchange.clone())));
        // A router is always ready.
        let response = self.router.clone().call(request).await?;
        self.admission.answered(admitted, &response);
        Ok(response)
    }

    /// Refuses a request. The answer has no body, so that its client cannot leave one unread.
    fn curb(&self, curb: Curb) -> Response<Body> {
        self.app.counters.curbs(curb).add();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = match curb {
            Curb::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Curb::AddressMemory => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        if curb != Curb::Fields {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECS.into());
        }
        // The rest of its body is not read; over HTTP/2 this is left out (RFC 9113 §8.2.2).
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// The requests of one connection that are being answered.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: AtomicUsize,
    /// The number of requests so far.
    begun: AtomicUsize,
}

/// An open request, until dropped.
pub(super) struct Open(Arc<Requests>);

impl Requests {
    /// Counts a request as open, until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Completes when none has been open for this time, or up to an eighth longer.
    pub(super) async fn none_for(&self, time: Duration) {
        const LOOKS: u32 = 8;
        let (mut seen, mut idle) = (self.begun.load(Ordering::Relaxed), 0);
        while idle < LOOKS {
            tokio::time::sleep(time / LOOKS).await;
            let begun = self.begun.load(Ordering::Relaxed);
            let is_idle = self.open.load(Ordering::Relaxed) == 0 && begun == seen;
            idle = if is_idle { idle + 1 } else { 0 };
            seen = begun;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Copies the authority of HTTP/2 to the header `Host` (RFC 9113 §8.3.1), so that all code finds it
/// in one place.
fn name_host<B>(request: &mut Request<B>) {
    if let Some(authority) = request.uri().authority()
        && !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_idle_only_without_open_requests() {
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
