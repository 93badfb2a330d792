//! Which web pages may connect: `--allow-origin`, and the CORS headers that tell browsers.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{self, HeaderName},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{app::App, error::ApiError};

/// The origins of pages that may connect.
#[derive(Debug, Clone)]
pub(super) struct Origins(Vec<String>);

impl Origins {
    /// Allows these; every one if there is none.
    pub fn new(allowed: Vec<String>) -> Self {
        Self(allowed)
    }

    /// Whether a request may come from where it says it comes. No origin means that it was not a
    /// page that sent it.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        if self.0.is_empty() {
            return true;
        }
        let Ok(origin) = origin.to_str() else { return false };
        let same = |host: &str| {
            let page = origin.split_once("://").map(|(_, host)| host);
            page.is_some_and(|page| page.eq_ignore_ascii_case(host))
        };
        // The server's own pages are always allowed.
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(same)
            || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

/// What a page may send, once it may send at all.
const ALLOWED: [(HeaderName, HeaderValue); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS")),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type")),
    (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")),
];

/// Refuses pages of other origins and tells browsers of those that may read the answer. There are
/// no cookies, so no credentials are allowed along.
pub(super) async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    if !app.origins.allow(request.headers()) {
        return ApiError::origin().into_response();
    }
    let mut response = match *request.method() {
        Method::OPTIONS => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.headers_mut().extend(ALLOWED);
            response
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("calls.example.com"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    #[test]
    fn every_origin_may_come_until_some_are_named() {
        let any = Origins::new(Vec::new());
        assert!(any.allow(&headers(Some("https://evil.example"))));
        assert!(any.allow(&headers(Some("null"))));
        let some = Origins::new(vec!["https://app.example.com".into()]);
        assert!(some.allow(&headers(None)));
        assert!(some.allow(&headers(Some("https://app.example.com"))));
        assert!(some.allow(&headers(Some("https://calls.example.com"))));
        for origin in
            ["https://evil.example", "https://app.example.com.evil.example", "null", "https://app"]
        {
            assert!(!some.allow(&headers(Some(origin))), "{origin}");
        }
    }
}
