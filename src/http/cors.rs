//! Permission for pages of other origins to send requests and read the answers (CORS, in the Fetch
//! standard).
//!
//! Nothing here depends on cookies: a token or a key identifies the sender. So a request with
//! credentials, such as those of a Socket.IO client that a balancer keeps on one server by a
//! cookie, may do no more than one without, and is treated alike.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{app::App, error::ApiError};

/// The methods of all routes together.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS");

/// The request headers that a page may send if its preflight does not ask for more.
const USUAL_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");

/// The response headers that a page may read besides those that Fetch always lets it read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("retry-after");

/// The number of seconds for which a browser may remember the answer to a preflight. No browser
/// remembers one for more than two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The longest list of headers that a page may ask to send.
const MAX_REQUESTED: usize = 4096;

/// The request headers that an answer depends on: the origin, and for a preflight the headers with
/// its questions.
const VARY: HeaderValue = HeaderValue::from_static("origin");
const VARY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// Refuses pages of other origins, answers preflights, and adds the headers that permit a page to
/// read the answer.
pub(super) async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        let mut response = next.run(request).await;
        // A cache must not give this answer to a page.
        response.headers_mut().append(header::VARY, VARY);
        return response;
    };
    if !app.origins.allow(&request) {
        let mut response = ApiError::origin().into_response();
        response.headers_mut().append(header::VARY, VARY);
        return response;
    }
    let mut response = match *request.method() {
        Method::OPTIONS => preflight(request.headers()),
        _ => {
            let mut response = next.run(request).await;
            response.headers_mut().append(header::VARY, VARY);
            response
        }
    };
    open(response.headers_mut(), origin);
    response
}

/// Permits a page of this origin, which may connect, to read an answer.
pub(super) fn open(headers: &mut HeaderMap, origin: HeaderValue) {
    // With credentials the origin must be given: browsers do not accept `*` then.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
}

fn preflight(request: &HeaderMap) -> Response {
    let requested = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend([
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, requested_headers(requested)),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        (header::VARY, VARY_PREFLIGHT),
    ]);
    response
}

/// The headers that a page may send: any that it asks for, such as a Socket.IO client's
/// `extraHeaders`, as far as it is a list of names that is not too long.
fn requested_headers(requested: Option<&HeaderValue>) -> HeaderValue {
    let is_name = |name: &[u8]| HeaderName::from_bytes(name.trim_ascii()).is_ok();
    let fits = |list: &&HeaderValue| {
        list.len() <= MAX_REQUESTED && list.as_bytes().split(|byte| *byte == b',').all(is_name)
    };
    requested.filter(fits).cloned().unwrap_or(USUAL_HEADERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_list_of_header_names_may_be_sent() {
        for list in ["x-tenant", "authorization,content-type,x-request-id", "a, b , c"] {
            let list = HeaderValue::from_static(list);
            assert_eq!(requested_headers(Some(&list)), list);
        }
        let long = HeaderValue::try_from("a,".repeat(MAX_REQUESTED / 2) + "bcd").unwrap();
        let bad = ["", "a,,b", "a b", "a: b", "*;"].map(HeaderValue::from_static);
        for list in bad.iter().chain([&long]) {
            assert_eq!(requested_headers(Some(list)), USUAL_HEADERS, "{list:?}");
        }
        assert_eq!(requested_headers(None), USUAL_HEADERS);
    }
}
