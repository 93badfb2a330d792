//! The pages of traces, for operators.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, Path, State, rejection::PathRejection},
    http::HeaderMap,
};
use callbox_base::ids::CallId;

use crate::{
    http::{
        app::App,
        arrival::Remote,
        authorization::api_key,
        error::{ApiError, ApiRefusal},
    },
    trace::{CallTrace, diagnosis},
};

/// The steps of a call, as the server saw them.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/trace",
    operation_id = "callTrace",
    security(("operator" = [])),
    params(("id" = CallId, Path, description = "The call.")),
    responses(
        (status = 200, description = "The trace.", body = CallTrace),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
        (status = 404, description = "The server does not trace calls, or has no trace of this one.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn trace(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    id: Result<Path<CallId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<CallTrace>, ApiError> {
    api_key(&app, remote, &headers)?;
    let traces = app.sources.traces.as_ref().ok_or_else(|| {
        ApiError::not_found("The server does not trace calls: start it with --trace.")
    })?;
    let not_found = || {
        ApiError::not_found("There is no trace of such a call: it never was, or ended long ago.")
    };
    let Path(id) = id.map_err(|_| not_found())?;
    let mut trace = traces.get(id).ok_or_else(not_found)?;
    trace.diagnosis = diagnosis(&trace);
    Ok(Json(trace))
}
