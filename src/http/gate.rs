//! What stands before the Socket.IO service: limits on what a stranger can make it keep.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use socketioxide::socket::Sid;

use super::{app::App, entry::Remote, error::ApiError, limits::Handshakes};
use crate::signaling::{ErrorCode, RequestError};

/// The gate's memory.
pub(super) struct Gate {
    pub app: Arc<App>,
    pub handshakes: Handshakes,
    pub ended: Arc<EndedSockets>,
}

/// Lets requests pass to the service.
pub(super) async fn pass(
    State(gate): State<Arc<Gate>>,
    Extension(Remote(remote)): Extension<Remote>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let query = request.uri().query().unwrap_or_default();
    match query.split('&').find_map(|part| part.strip_prefix("sid=")) {
        Some(sid) if gate.ended.contains(sid, Instant::now()) => {
            return Ok(unknown_session());
        }
        Some(_) => {}
        None if gate.app.is_draining() => return Err(ApiError::stopping()),
        None => gate.handshakes.begin(remote.ip(), Instant::now()).map_err(|refusal| {
            gate.app.counters.refusals(refusal).add();
            let message = "Too many sessions are begun from your address.";
            ApiError::from(RequestError::new(ErrorCode::TooManyConnections, message))
        })?,
    }
    strip(request.headers_mut());
    // A poll waits for something to say; only what comes in has a time to do so.
    if request.method() == Method::POST {
        let response = super::in_time(request, next).await?;
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            gate.app.counters.errors(ErrorCode::PayloadTooLarge).add();
        }
        return Ok(response);
    }
    Ok(next.run(request).await)
}

/// The service keeps the head of a session's first request for as long as the session lives; what
/// is not needed later is taken out of it.
fn strip(headers: &mut HeaderMap) {
    const NEEDED: [header::HeaderName; 7] = [
        header::CONNECTION,
        header::UPGRADE,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    let kept = NEEDED.into_iter().filter_map(|name| {
        let value = headers.remove(&name)?;
        Some((name, value))
    });
    *headers = kept.collect();
}

/// What the service itself answers for a session that it does not know.
fn unknown_session() -> Response {
    let body = r#"{"code":1,"message":"Session ID unknown"}"#;
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The service's sessions that have no session with the hub any more. One that goes by polling
/// holds no connection, and could be kept alive for ever; here its requests are refused, so that
/// it ends by missing its ping.
#[derive(Debug, Default)]
pub(super) struct EndedSockets(Mutex<HashMap<String, Instant>>);

/// For how long the client may still collect what it was sent last, and say good-bye.
const FAREWELL: Duration = Duration::from_secs(5);

/// After this time the service has ended the session: an interval of pings and the time for the
/// answer, with some room.
const FORGET: Duration = Duration::from_secs(90);

impl EndedSockets {
    /// From soon on, this one is refused.
    pub fn add(&self, sid: Sid, now: Instant) {
        let mut ended = self.0.lock().expect("adding does not panic");
        // Amortized: only when the map has to grow.
        if ended.len() == ended.capacity() {
            ended.retain(|_, since| now.saturating_duration_since(*since) < FORGET);
        }
        ended.insert(sid.to_string(), now);
    }

    /// It has a session with the hub again.
    pub fn remove(&self, sid: Sid) {
        self.0.lock().expect("removing does not panic").remove(&sid.to_string());
    }

    fn contains(&self, sid: &str, now: Instant) -> bool {
        let ended = self.0.lock().expect("looking does not panic");
        ended.get(sid).is_some_and(|since| now.saturating_duration_since(*since) > FAREWELL)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_ended_socket_is_refused_after_its_farewell() {
        let ended = EndedSockets::default();
        let (sid, now) = (Sid::new(), Instant::now());
        ended.add(sid, now);
        assert!(!ended.contains(&sid.to_string(), now + FAREWELL));
        assert!(ended.contains(&sid.to_string(), now + FAREWELL * 2));
        ended.remove(sid);
        assert!(!ended.contains(&sid.to_string(), now + FAREWELL * 2));
    }

    #[test]
    fn ended_sockets_are_forgotten() {
        let ended = EndedSockets::default();
        let now = Instant::now();
        for n in 0..10_000 {
            ended.add(Sid::new(), now + FORGET / 100 * n);
        }
        assert!(ended.0.lock().unwrap().len() < 1000);
    }

    #[test]
    fn headers_that_nobody_needs_are_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        strip(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key(header::UPGRADE));
    }
}
