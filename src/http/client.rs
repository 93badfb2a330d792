//! `/callbox.js`: `@callbox/client` as it is in `clients/js`, so that the client has the same
//! version as the server that it connects to.

use axum::{
    http::{
        HeaderMap, HeaderValue,
        header::{self, HeaderName},
    },
    response::Response,
};

use super::embedded::Embedded;

static MODULE: Embedded =
    Embedded::new("text/javascript; charset=utf-8", include_str!("../../clients/js/callbox.js"));

/// A page of any origin may import it: the origin is checked when the client connects.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // The module is part of the binary: after an update the old one must not be used.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// `GET /callbox.js`
pub(super) async fn module(request: HeaderMap) -> Response {
    MODULE.answer(&request, HEADERS)
}
