//! The REST API and the pages for machines.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{app::App, error::ApiError};
use crate::{
    auth::Identity,
    clock::Now,
    ids::{CallId, DeviceId, UserId},
    signaling::{CallRecord, ErrorCode, Hub, Kicked, RelayAccess, SessionRecord},
};

/// The token or key of a request, if it has one.
///
/// # Errors
/// If there is an `Authorization` of another kind.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.map(Some).ok_or_else(|| unauthorized("Authorization must be `Bearer`, then a token."))
}

fn unauthorized(message: &str) -> ApiError {
    crate::signaling::RequestError::new(ErrorCode::Unauthorized, message).into()
}

/// The user whose token a request carries.
pub(super) async fn user(app: &App, headers: &HeaderMap) -> Result<Identity, ApiError> {
    let token = bearer(headers)?.ok_or_else(|| {
        unauthorized("A user's token is needed, in the header `Authorization: Bearer …`.")
    })?;
    Ok(app.authenticate(token).await?)
}

/// Lets a back end pass.
pub(super) fn api_key(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    if app.api_keys.is_empty() {
        return Err(unauthorized("This page is closed: the server has no --api-key."));
    }
    match bearer(headers)? {
        Some(key) if app.api_keys.verify(key) => Ok(()),
        Some(_) => Err(unauthorized("The API key is wrong.")),
        None => Err(unauthorized("An API key is needed, in the header `Authorization: Bearer …`.")),
    }
}

/// `GET /api/v1/ice-servers`: `{ iceServers, turnCredentials, expiresAt }` for a user's token.
pub(super) async fn ice_servers(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<RelayAccess>, ApiError> {
    let bearer = user(&app, &headers).await?;
    let servers = app.hub.view(move |hub, now| hub.ice_servers(now, &bearer)).await;
    servers.map(Json).ok_or_else(ApiError::stopping)
}

/// `GET /api/v1/calls`: `{ calls }`, the live ones and those that were over not long ago.
pub(super) async fn calls(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    api_key(&app, &headers)?;
    let calls = app.hub.view(|hub, now| hub.calls(now).collect::<Vec<CallRecord>>()).await;
    let calls = calls.ok_or_else(ApiError::stopping)?;
    Ok(Json(json!({ "calls": calls })))
}

/// `GET /api/v1/calls/{id}`: one call.
pub(super) async fn call(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<CallRecord>, ApiError> {
    with_call(&app, &id, &headers, |hub, now, id| hub.call(now, id)).await
}

/// `DELETE /api/v1/calls/{id}`: ends a call with `kicked`. The call, as it ended.
pub(super) async fn hang_up(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<CallRecord>, ApiError> {
    with_call(&app, &id, &headers, Hub::hang_up).await
}

/// Does something with a call, for a back end.
async fn with_call(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    act: fn(&mut Hub, Now, CallId) -> Option<CallRecord>,
) -> Result<Json<CallRecord>, ApiError> {
    api_key(app, headers)?;
    let not_found = || ApiError::not_found("There is no such call, or it was over long ago.");
    let id: CallId = id.parse().map_err(|_| not_found())?;
    let call = app.hub.act(move |hub, now| act(hub, now, id)).await;
    call.ok_or_else(ApiError::stopping)?.map(Json).ok_or_else(not_found)
}

/// Which sessions are meant.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    user_id: Option<UserId>,
    device_id: Option<DeviceId>,
}

/// `GET /api/v1/sessions?userId=…`: `{ sessions }`, of everyone or of one user.
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    api_key(&app, &headers)?;
    let Query(Which { user_id, device_id }) =
        which.map_err(|error| ApiError::invalid(error.body_text()))?;
    let sessions = app.hub.view(move |hub, _| {
        let asked = |session: &SessionRecord| {
            user_id.as_ref().is_none_or(|user| session.user_id == *user)
                && device_id.as_ref().is_none_or(|device| session.device_id == *device)
        };
        hub.sessions().filter(asked).collect::<Vec<_>>()
    });
    let sessions = sessions.await.ok_or_else(ApiError::stopping)?;
    Ok(Json(json!({ "sessions": sessions })))
}

/// `DELETE /api/v1/sessions?userId=…&deviceId=…`: closes the sessions of a user or of one device, and
/// ends their calls. How many.
pub(super) async fn kick(
    State(app): State<Arc<App>>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Kicked>, ApiError> {
    api_key(&app, &headers)?;
    let Query(Which { user_id, device_id }) =
        which.map_err(|error| ApiError::invalid(error.body_text()))?;
    let user = user_id.ok_or_else(|| ApiError::invalid("`userId` is needed.".to_owned()))?;
    let kicked = app.hub.act(move |hub, now| hub.kick(now, &user, device_id.as_ref())).await;
    kicked.map(Json).ok_or_else(ApiError::stopping)
}

/// `GET /healthz`: the process is alive.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// `GET /readyz`: the server takes new connections, and all of it works.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    if !(app.sources.relay_is_whole)() {
        return Err(ApiError::relay_broken());
    }
    match app.is_draining() {
        false => Ok(Json(json!({ "ok": true }))),
        true => Err(ApiError::stopping()),
    }
}

/// Whatever is not there.
pub(super) async fn not_found() -> ApiError {
    ApiError::not_found("There is no such page.")
}

/// Whatever is there, but not for this method.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::method()
}
