//! The REST API.

pub(super) mod calls;
pub(super) mod faults;
pub(super) mod health;
pub(super) mod sessions;
pub(super) mod traces;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, Query, Request, State, rejection::QueryRejection},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use callbox_signaling::RelayAccess;
use serde::Deserialize;

use super::{
    app::App,
    arrival::Remote,
    authorization::user,
    error::{ApiError, ApiRefusal},
};

/// The parameters of a page that takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

/// Refuses requests with parameters: on a page that takes none, one that was meant as a limit would
/// have no effect.
pub(super) async fn no_parameters(
    none: Result<Query<NoParameters>, QueryRejection>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Query(NoParameters {}) = none?;
    Ok(next.run(request).await)
}

/// Relay credentials for the bearer of a user's token, not for one call.
#[utoipa::path(
    get,
    path = "/api/v1/ice-servers",
    operation_id = "iceServers",
    security(("user" = [])),
    responses(
        (status = 200, description = "For `new RTCPeerConnection({ iceServers })`.", body = RelayAccess),
        (status = 401, description = "The token is missing or not valid.", body = ApiRefusal),
        (status = 503, description = "The keys of the token's issuer cannot be had at the moment.", body = ApiRefusal),
    ),
)]
pub(super) async fn ice_servers(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Json<RelayAccess>, ApiError> {
    let bearer = user(&app, remote, &headers).await?;
    let servers = app.hub.act(move |hub, now| hub.ice_servers(now, &bearer)).await;
    servers.map(Json).ok_or_else(ApiError::stopping)
}

/// Answers a request for a page that does not exist.
pub(super) async fn not_found() -> ApiError {
    ApiError::not_found("There is no such page.")
}

/// Answers a request whose method its page does not have.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::method()
}
