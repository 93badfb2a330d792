//! The plain WebSocket protocol, at `/ws`: one JSON object per text frame.
//!
//! | file | contents |
//! |---|---|
//! | `client` | a client of this protocol, from its hello to the end |
//! | `frames` | the frames of this protocol: parsing and writing |
//! | `connection`, `close` | the WebSocket connections of both protocols, and their close frames |
//! | `socket`, `incoming`, `outgoing` | the WebSocket layer: messages in and out |
//! | `transport` | the stream below it |

mod client;
pub(super) mod close;
pub(super) mod connection;
mod frames;
mod incoming;
mod outgoing;
pub(super) mod socket;
pub(super) mod transport;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Extension, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{self, HeaderName},
    },
    response::{IntoResponse, Response},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

pub(crate) use self::{close::all as closes, frames::SessionHello};

use super::{
    app::App, arrival::Remote, authorization::bearer, error::ApiError,
    unauthenticated_input::ClientInput,
};

/// Turns a request into a WebSocket connection (RFC 6455 §4.2).
///
/// The upgrade is done here and not with `axum`'s extractor, because the raw stream is needed at
/// the end: a client that sends too much must be read from until it has received the reason of the
/// close.
pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    Extension(input): Extension<ClientInput>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let accept = accept_key(request.headers())?;
    // A client that sends a header is no page, and reads an HTTP answer.
    let identity = match bearer(request.headers())? {
        Some(token) => Some(app.authenticate(remote, token).await?),
        None => None,
    };
    if app.is_draining() {
        return Err(ApiError::stopping());
    }
    let allowed = app.origins.allow(&request);
    let upgrade = hyper::upgrade::on(&mut request);
    // Nothing of the request is kept for the life of the connection.
    drop(request);
    let running = app.running.token();
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            client::run(app, upgraded, input, remote, identity, allowed).await;
        }
        drop(running);
    });
    Ok((StatusCode::SWITCHING_PROTOCOLS, accept, Body::empty()).into_response())
}

pub(super) type Accept = [(HeaderName, HeaderValue); 3];

/// Checks the headers of an upgrade and returns those of the answer.
pub(super) fn accept_key(headers: &HeaderMap) -> Result<Accept, ApiError> {
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let is_upgrade = has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_upgrade).ok_or_else(|| {
        ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "This page is for WebSocket connections.",
        )
    })?;
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(ApiError::invalid("Only version 13 of WebSocket is spoken here."));
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| ApiError::invalid("The header Sec-WebSocket-Key is malformed."))?;
    Ok([
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ])
}
