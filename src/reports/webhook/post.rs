//! The delivery of an event to the receiver.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, Request, StatusCode, Uri, header::CONTENT_TYPE};
use bytes::Bytes;
use callbox_base::clock::Now;
use callbox_signaling::ASK_FOR;
use http_body_util::Full;
use serde::Deserialize;

use super::queue::Outcome;
use crate::{
    https::{Answer, Client, Failure, Limits, retry_after},
    reports::webhook::WebhookKeys,
};

/// The limits of a delivery. The answer is read so that the connection can be reused.
const DELIVERY: Limits = Limits { time: Duration::from_secs(10), answer: 64 * 1024 };

/// The limits of a question.
const QUESTION: Limits = Limits { time: ASK_FOR, ..DELIVERY };

/// Sends events to the receiver.
pub(super) struct Post {
    client: Client,
    url: Uri,
    keys: WebhookKeys,
}

impl Post {
    /// Sends to this address, and signs with these keys.
    pub(super) fn new(client: Client, url: Uri, keys: WebhookKeys) -> Self {
        Self { client, url, keys }
    }

    /// Sends an event once, and returns the outcome with a text about it.
    pub(super) async fn send(&self, body: Bytes) -> (Outcome, String) {
        match self.exchange(body, DELIVERY).await {
            Ok(Answer { status, headers, .. }) => {
                let outcome = judge(status, &headers, SystemTime::now());
                (outcome, format!("it answers {status}"))
            }
            Err(failure @ Failure::Connect(_)) => (Outcome::Down, failure.to_string()),
            Err(failure) => (Outcome::Failed, failure.to_string()),
        }
    }

    /// Asks if a call should be held: an answer in time, of 2xx with `{ "hold": true }`, is a yes.
    pub(super) async fn ask_to_hold(&self, body: Bytes) -> bool {
        #[derive(Deserialize)]
        struct Verdict {
            hold: bool,
        }
        let Ok(answer) = self.exchange(body, QUESTION).await else { return false };
        let body = answer.body.unwrap_or_default();
        answer.status.is_success()
            && matches!(serde_json::from_slice(&body), Ok(Verdict { hold: true }))
    }

    async fn exchange(&self, body: Bytes, limits: Limits) -> Result<Answer, Failure> {
        let signature = self.keys.sign(Now::read().unix_secs(), &body);
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("callbox-signature", signature)
            .body(Full::new(body))
            .expect("the address was parsed, and the signature is ASCII");
        self.client.exchange(request, limits).await
    }
}

/// Returns the outcome of an answer. Only an answer about the event itself ends its deliveries: a
/// wrong path or secret, or a redirection, is for an operator to correct, and no event may be lost
/// by it.
fn judge(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::BAD_REQUEST
        | StatusCode::GONE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let retry_after = retry_after(headers, now).map(|at| at.duration_since(now));
            // A time in the past does not count.
            retry_after.and_then(Result::ok).map_or(Outcome::Down, Outcome::Busy)
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Outcome::Down,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn a_receiver_may_ask_for_a_pause() {
        let outcome = |status, text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            judge(StatusCode::from_u16(status).unwrap(), &headers, NOW)
        };
        let minute = Outcome::Busy(Duration::from_secs(60));
        assert_eq!([429, 503].map(|status| outcome(status, "60")), [minute; 2]);
        assert_eq!(outcome(503, "Thu, 01 Jan 1970 00:01:00 GMT"), minute);
        assert_eq!(outcome(503, "Wed, 31 Dec 1969 23:59:59 GMT"), Outcome::Down);
        assert_eq!(outcome(503, "soon"), Outcome::Down);
        assert_eq!((outcome(502, "60"), outcome(500, "60")), (Outcome::Down, Outcome::Failed));
        assert_eq!(outcome(200, "60"), Outcome::Delivered);
    }

    #[test]
    fn only_an_answer_about_the_event_ends_its_deliveries() {
        let outcome = |status| judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), NOW);
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
