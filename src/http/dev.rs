//! The pages that only `--dev` serves: the demo page, tokens for anyone, and the users who are
//! online.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Extension, Request, State},
    http::{
        HeaderMap, HeaderValue,
        header::{self, HeaderName},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use callbox_base::{clock::Now, ids::UserId};
use callbox_signaling::jwt::{Grants, Wanted};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    app::App,
    arrival::{Remote, Way},
    authorization::user,
    embedded::Embedded,
    error::ApiError,
};

/// The lifetime of a token of `POST /dev/token`.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);

/// The policy of the page: nothing from elsewhere, nothing inline; `'self'` also covers the
/// WebSocket.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; media-src 'self' blob:; manifest-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every part of the page.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // The page is part of the binary: after an update the old one must not be used.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

static PAGE: Embedded = Embedded::new("text/html; charset=utf-8", include_str!("page/index.html"));
static SCRIPT: Embedded =
    Embedded::new("text/javascript; charset=utf-8", include_str!("page/app.js"));
static STYLE: Embedded = Embedded::new("text/css; charset=utf-8", include_str!("page/style.css"));

/// `GET /`
pub(super) async fn page(request: HeaderMap) -> Response {
    PAGE.answer(&request, HEADERS)
}

/// `GET /app.js`
pub(super) async fn script(request: HeaderMap) -> Response {
    SCRIPT.answer(&request, HEADERS)
}

/// `GET /style.css`
pub(super) async fn style(request: HeaderMap) -> Response {
    STYLE.answer(&request, HEADERS)
}

/// Refuses requests unless their host is a loopback address or `localhost`: a foreign page whose
/// name was made to resolve to this server must not get a token, nor must a client behind a proxy,
/// which may send such a host itself.
pub(super) async fn loopback_host(
    Extension(way): Extension<Way>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    match !way.by_proxy && host.is_some_and(is_loopback) {
        true => next.run(request).await,
        false => ApiError::not_found(
            "In --dev, this page is only there by a loopback address or as localhost, and by no \
             proxy.",
        )
        .into_response(),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenRequest {
    user_id: UserId,
    #[serde(default)]
    name: Option<String>,
}

/// `POST /dev/token { "userId" }`: `{ "token" }`.
pub(super) async fn token(
    State(app): State<Arc<App>>,
    request: Result<Json<TokenRequest>, axum::extract::rejection::JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(request) = request?;
    let minter = app.minter.as_ref().ok_or_else(ApiError::no_signing_secret)?;
    let TokenRequest { user_id: user, name } = request;
    let wanted = Wanted { user, name, ttl: TOKEN_TTL, grants: Grants::default() };
    let minted = minter.mint(&wanted, Now::read())?;
    Ok(Json(json!({ "token": minted.token })))
}

/// `GET /dev/online`: `{ users: [{ userId, name, devices }] }` for a user's token.
pub(super) async fn online(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    user(&app, remote, &headers).await?;
    let users = app.hub.view(|hub, _| hub.online_users().collect::<Vec<_>>()).await;
    let users = users.ok_or_else(ApiError::stopping)?;
    Ok(Json(json!({ "users": users })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_served() {
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:80", "192.0.2.1", "", "::1.evil"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
