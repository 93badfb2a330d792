//! The pages of calls, for back ends.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, Path, State, rejection::PathRejection},
    http::HeaderMap,
};
use callbox_base::{clock::Now, ids::CallId};
use callbox_signaling::{CallRecord, Hub};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    app::App,
    arrival::Remote,
    authorization::api_key,
    error::{ApiError, ApiRefusal},
};

/// A list of calls.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CallList {
    /// The calls, the live ones first.
    calls: Vec<CallRecord>,
}

/// The live calls, and those that have ended recently.
#[utoipa::path(
    get,
    path = "/api/v1/calls",
    operation_id = "calls",
    security(("operator" = [])),
    responses(
        (status = 200, description = "The calls.", body = CallList),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn calls(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Json<CallList>, ApiError> {
    api_key(&app, remote, &headers)?;
    let calls = app.hub.view(|hub, now| CallList { calls: hub.calls(now).collect() }).await;
    calls.map(Json).ok_or_else(ApiError::stopping)
}

/// One call.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}",
    operation_id = "call",
    security(("operator" = [])),
    params(("id" = CallId, Path, description = "The call.")),
    responses(
        (status = 200, description = "The call.", body = CallRecord),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
        (status = 404, description = "There is none, or it ended long ago.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn call(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    id: Result<Path<CallId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<CallRecord>, ApiError> {
    with_call(&app, remote, id, &headers, |hub, now, id| hub.call(now, id)).await
}

/// Ends a call, with the reason `kicked`.
#[utoipa::path(
    delete,
    path = "/api/v1/calls/{id}",
    operation_id = "endCall",
    security(("operator" = [])),
    params(("id" = CallId, Path, description = "The call.")),
    responses(
        (status = 200, description = "The call, as it ended.", body = CallRecord),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
        (status = 404, description = "There is none, or it ended long ago.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn hang_up(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    id: Result<Path<CallId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<CallRecord>, ApiError> {
    with_call(&app, remote, id, &headers, Hub::hang_up).await
}

/// Executes an action on a call, for a back end.
async fn with_call(
    app: &App,
    remote: Remote,
    id: Result<Path<CallId>, PathRejection>,
    headers: &HeaderMap,
    act: fn(&mut Hub, Now, CallId) -> Option<CallRecord>,
) -> Result<Json<CallRecord>, ApiError> {
    api_key(app, remote, headers)?;
    let not_found = || ApiError::not_found("There is no such call, or it ended long ago.");
    let Path(id) = id.map_err(|_| not_found())?;
    let call = app.hub.act(move |hub, now| act(hub, now, id)).await;
    call.ok_or_else(ApiError::stopping)?.map(Json).ok_or_else(not_found)
}
