//! The pages by which a supervisor or a balancer checks the server.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    app::App,
    error::{ApiError, ApiRefusal},
};

/// The answer of a server that works.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Well {
    /// True.
    ok: bool,
}

/// The process is alive.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "health",
    responses((status = 200, description = "It serves.", body = Well)),
)]
pub(in crate::http) async fn health() -> Json<Well> {
    Json(Well { ok: true })
}

/// The server takes new connections, and all of it works.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    responses(
        (status = 200, description = "It is ready.", body = Well),
        (status = 503, description = "It stops, or a worker has ended.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Well>, ApiError> {
    if !(app.sources.relay_is_whole)() {
        return Err(ApiError::relay_broken());
    }
    match app.is_draining() {
        false => Ok(Json(Well { ok: true })),
        true => Err(ApiError::stopping()),
    }
}
