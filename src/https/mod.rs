//! HTTP as a client: how a CA, the issuer of tokens and the receiver of a webhook are asked.

mod retry_after;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header::USER_AGENT};
use bytes::Bytes;
use callbox_tls::Roots;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, Error as PoolError, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::time::timeout;

pub use self::retry_after::retry_after;

/// The longest time that a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The number of idle connections to a server that are kept.
const MAX_IDLE: usize = 8;

/// The name of the program (RFC 8555 §6.1 requires it, and it is useful to others).
const AGENT: HeaderValue = HeaderValue::from_static(concat!("callbox/", env!("CARGO_PKG_VERSION")));

/// A client. Clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Pool<HttpsConnector<HttpConnector>, Full<Bytes>>>);

/// The limits of an exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest time, from the look-up of the name to the end of the answer.
    pub time: Duration,
    /// The largest number of bytes of the answer.
    pub answer: usize,
}

/// An answer. Redirections are not followed.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unless it broke off or was too long.
    pub body: Result<Bytes, Failure>,
}

/// The reason why there is no answer, as text for the log. The address is not in it: it may contain
/// a secret.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no connection.
    #[error("{0}")]
    Connect(String),
    /// The connection broke off, or the answer was not HTTP.
    #[error("{0}")]
    Exchange(String),
    /// The exchange took too long.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// The answer has too many bytes.
    #[error("the answer has more than {0} bytes")]
    Long(usize),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Trusts these certificates, with TLS 1.2 and 1.3.
    pub fn new(roots: Roots) -> Self {
        Self::with_tls(roots.into_config())
    }

    fn with_tls(tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Self(Arc::new(pool))
    }

    /// Makes a request, once.
    ///
    /// # Errors
    /// [`Failure`] if no status arrived in time.
    pub async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<Answer, Failure> {
        let exchange = timeout(limits.time, self.exchange_untimed(request, limits.answer));
        exchange.await.unwrap_or(Err(Failure::Slow(limits.time)))
    }

    async fn exchange_untimed(
        &self,
        mut request: Request<Full<Bytes>>,
        max_answer: usize,
    ) -> Result<Answer, Failure> {
        request.headers_mut().insert(USER_AGENT, AGENT);
        let (head, body) = self.0.request(request).await?.into_parts();
        // A body that is not read costs the connection, no more.
        let body = Limited::new(body, max_answer).collect().await;
        let body =
            body.map(|body| body.to_bytes()).map_err(|error| match error
                .is::<http_body_util::LengthLimitError>(
            ) {
                true => Failure::Long(max_answer),
                false => Failure::Exchange(error.to_string()),
            });
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        // Its own text is short; the innermost cause tells what happened.
        let mut cause: &dyn Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let words = cause.to_string();
        match error.is_connect() {
            true => Self::Connect(words),
            false => Self::Exchange(words),
        }
    }
}

#[cfg(test)]
mod tests;
