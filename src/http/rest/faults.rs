//! The page of faults, for tests: only with `--allow-faults`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, State, rejection::JsonRejection},
    http::HeaderMap,
};
use serde_json::Value;

use crate::{
    faults::{FaultDocument, FaultReport},
    http::{
        app::App,
        arrival::Remote,
        authorization::api_key,
        error::{ApiError, ApiRefusal},
        faults::Faults,
    },
};

/// Returns the control of faults.
///
/// # Errors
/// The API key is missing or wrong, or the server allows no faults.
fn allowed<'a>(app: &'a App, remote: Remote, headers: &HeaderMap) -> Result<&'a Faults, ApiError> {
    api_key(app, remote, headers)?;
    app.faults.as_deref().ok_or_else(ApiError::faults_not_allowed)
}

/// The faults that are injected, for tests of applications.
#[utoipa::path(
    get,
    path = "/api/v1/faults",
    operation_id = "faults",
    security(("operator" = [])),
    responses(
        (status = 200, description = "The faults.", body = FaultReport),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
        (status = 403, description = "The server runs without `--allow-faults`.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn faults(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Json<FaultReport>, ApiError> {
    Ok(Json(allowed(&app, remote, &headers)?.report()))
}

/// Replaces all faults, and executes the actions of the document once.
#[utoipa::path(
    put,
    path = "/api/v1/faults",
    operation_id = "setFaults",
    security(("operator" = [])),
    request_body = FaultDocument,
    responses(
        (status = 200, description = "The faults, and the results of the actions.", body = FaultReport),
        (status = 400, description = "A field is unknown, or its value is out of range.", body = ApiRefusal),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
        (status = 403, description = "The server runs without `--allow-faults`.", body = ApiRefusal),
        (status = 413, description = "The body is larger than the server takes.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn set_faults(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    document: Result<Json<Value>, JsonRejection>,
) -> Result<Json<FaultReport>, ApiError> {
    let faults = allowed(&app, remote, &headers)?;
    let Json(document) = document?;
    let document = FaultDocument::from_value(document);
    let document = document.map_err(|error| ApiError::invalid(format!("{error}.")))?;
    faults.replace(document).await.map(Json).ok_or_else(ApiError::stopping)
}

/// Turns all faults off. What actions have done already is not undone, but a relay that is gone and
/// sessions that are silent go on.
#[utoipa::path(
    delete,
    path = "/api/v1/faults",
    operation_id = "endFaults",
    security(("operator" = [])),
    responses(
        (status = 200, description = "No faults.", body = FaultReport),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
        (status = 403, description = "The server runs without `--allow-faults`.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn end_faults(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Json<FaultReport>, ApiError> {
    let faults = allowed(&app, remote, &headers)?;
    let ended = faults.replace(FaultDocument::default()).await;
    ended.map(Json).ok_or_else(ApiError::stopping)
}
