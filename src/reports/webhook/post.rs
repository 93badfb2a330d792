//! How an event goes to the receiver.

use std::{sync::Arc, time::Duration};

use axum::http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::crypto::ring;
use serde::Deserialize;
use tokio::time::timeout;

use super::{AT_ONCE, queue::Outcome};
use crate::{auth::WebhookKeys, clock::Now, signaling::ASK_FOR};

/// How long a delivery may take, from the look-up of the name to the end of the answer.
const DELIVERY: Duration = Duration::from_secs(10);

/// How long the receiver may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How many bytes of an answer are read, so that the connection can be used again.
const MAX_ANSWER: usize = 64 * 1024;

/// Who sends.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("callbox/", env!("CARGO_PKG_VERSION")));

/// What carries events to the receiver.
pub(super) struct Post {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    keys: WebhookKeys,
}

impl Post {
    /// To this address, signed with these keys. TLS trusts those that browsers trust.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(url: Uri, keys: WebhookKeys) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(Arc::new(ring::default_provider()))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(AT_ONCE)
            .build(connector);
        Ok(Self { client, url, keys })
    }

    /// Sends an event once, and says in words what went wrong.
    pub async fn send(&self, body: Bytes) -> (Outcome, String) {
        match timeout(DELIVERY, self.exchange(body)).await {
            Ok(Ok((status, _))) => (judge(status), format!("it answers {status}")),
            Ok(Err(error)) => {
                let is_down = error.is_connect();
                let outcome = if is_down { Outcome::Down } else { Outcome::Failed };
                // What it says itself is a word or two; the cause says more.
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                (outcome, cause.unwrap_or_else(|| error.to_string()))
            }
            Err(_) => (Outcome::Failed, format!("no answer within {DELIVERY:?}")),
        }
    }

    /// Asks whether a call is to be held: an answer in time, of 2xx with `{ "hold": true }`, is a yes.
    pub async fn ask_to_hold(&self, body: Bytes) -> bool {
        #[derive(Deserialize)]
        struct Answer {
            hold: bool,
        }
        let Ok(Ok((status, answer))) = timeout(ASK_FOR, self.exchange(body)).await else {
            return false;
        };
        let answer = serde_json::from_slice(&answer);
        status.is_success() && matches!(answer, Ok(Answer { hold: true }))
    }

    /// Sends a body; gives the answer, whose own body is empty if it is too long.
    async fn exchange(&self, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let signature = self.keys.sign(Now::read().unix_secs(), &body);
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .header("callbox-signature", signature)
            .body(Full::new(body))
            .expect("the address was parsed, and the signature is ASCII");
        let response = self.client.request(request).await?;
        let status = response.status();
        // What is not read costs the connection, no more.
        let answer = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, answer.map(|answer| answer.to_bytes()).unwrap_or_default()))
    }
}

/// What an answer means. Only what is said of the event itself ends its deliveries: a wrong path or
/// secret, or a redirection, is for an operator to set right, and no event is to be lost by it.
fn judge(status: StatusCode) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::BAD_REQUEST
        | StatusCode::GONE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Outcome::Down,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_event_ends_its_deliveries() {
        let outcome = |status| judge(StatusCode::from_u16(status).unwrap());
        for (statuses, expected) in [
            (&[200, 201, 202, 204][..], Outcome::Delivered),
            (&[400, 410, 413, 422], Outcome::Refused),
            (&[301, 307, 401, 403, 404, 405, 408, 409, 500, 501], Outcome::Failed),
            (&[429, 502, 503, 504], Outcome::Down),
        ] {
            assert!(statuses.iter().all(|status| outcome(*status) == expected), "{statuses:?}");
        }
    }
}
