//! The HTTP client for the CA: it sends the signed requests of the library, and evaluates refusals.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use crate::https::{Answer, Client, Limits, retry_after};

/// The limits of an exchange. Chains of certificates have some ten thousand bytes.
const LIMITS: Limits = Limits { time: Duration::from_secs(30), answer: 1024 * 1024 };

/// The client for the CA.
#[derive(Debug, Clone)]
pub(super) struct Https {
    client: Client,
    /// The time before which the CA wants no further request, if it has said so.
    not_before: Arc<Mutex<Option<SystemTime>>>,
}

/// A failure, as text for the log: the library passes it on.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Https {
    pub(super) fn new(client: Client) -> Self {
        Self { client, not_before: Arc::default() }
    }

    /// Returns the time before which the CA wants no further request, if the last refusal said so
    /// (RFC 8555 §6.6).
    pub(super) fn take_not_before(&self) -> Option<SystemTime> {
        self.not_before.lock().expect("taking a value does not panic").take()
    }

    /// Sends a request over HTTPS only (RFC 8555 §6.1), wherever a directory points to.
    async fn exchange(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Answer, Failure> {
        if request.uri().scheme_str() != Some("https") {
            return Err("it is no https address".into());
        }
        let (head, body) = request.into_parts();
        let body = Full::new(body.collect().await?.to_bytes());
        Ok(self.client.exchange(Request::from_parts(head, body), LIMITS).await?)
    }

    /// Stores the retry time of a refusal, and turns an answer that the library could not parse
    /// into an error with its status.
    fn judge(&self, answer: Answer, is_post: bool) -> Result<BytesResponse, Failure> {
        let Answer { status, headers, body } = answer;
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let not_before = retry_after(&headers, SystemTime::now());
            *self.not_before.lock().expect("setting a value does not panic") = not_before;
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        // Problem documents are JSON (RFC 8555 §6.7); an answer of a proxy in front is not. The
        // library parses them after a POST.
        if !(status.is_success() || is_post && kind.contains("json")) {
            return Err(format!("it answers {status}").into());
        }
        let mut response = Response::new(Full::new(body?));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response.into())
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let (uri, is_post) = (request.uri().clone(), request.method() == Method::POST);
            let answer = this.exchange(request).await;
            let answer = answer.and_then(|answer| this.judge(answer, is_post));
            answer.map_err(|error| instant_acme::Error::Other(format!("{uri}: {error}").into()))
        })
    }
}
