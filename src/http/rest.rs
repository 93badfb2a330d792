//! The REST API and the machine-readable pages.

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        Extension, Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, UserId},
};
use callbox_signaling::{
    CallRecord, ErrorCode, Hub, Kicked, RelayAccess, SessionRecord, jwt::Identity,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    app::App,
    arrival::Remote,
    error::{ApiError, ApiRefusal},
};

/// Returns the token or key of a request, if it has one.
///
/// # Errors
/// An error if there is an `Authorization` of another kind.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.map(Some).ok_or_else(|| unauthorized("Authorization must be `Bearer`, then a token."))
}

fn unauthorized(message: &str) -> ApiError {
    callbox_signaling::RequestError::new(ErrorCode::Unauthorized, message).into()
}

/// Returns the user whose token a request carries.
pub(super) async fn user(
    app: &App,
    remote: Remote,
    headers: &HeaderMap,
) -> Result<Identity, ApiError> {
    let token = bearer(headers)?.ok_or_else(|| {
        unauthorized("A user's token is needed, in the header `Authorization: Bearer …`.")
    })?;
    Ok(app.authenticate(remote, token).await?)
}

/// Checks the API key of a back end.
pub(super) fn api_key(app: &App, remote: Remote, headers: &HeaderMap) -> Result<(), ApiError> {
    if app.api_keys.is_empty() {
        return Err(unauthorized("This page is closed: the server has no --api-key."));
    }
    match bearer(headers)? {
        Some(key) if app.api_keys.verify(key) => Ok(()),
        Some(_) => {
            app.authenticator.refused().api_key(remote);
            Err(unauthorized("The API key is wrong."))
        }
        None => Err(unauthorized("An API key is needed, in the header `Authorization: Bearer …`.")),
    }
}

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

/// A list of calls.
#[derive(Serialize, ToSchema)]
pub(super) struct CallList {
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
pub(super) async fn calls(
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
pub(super) async fn call(
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
pub(super) async fn hang_up(
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

/// A filter for sessions. An unknown parameter is refused: it may be meant as a limit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only the sessions of this user.
    #[param(nullable = false)]
    user_id: Option<UserId>,
    /// Only the sessions on this device.
    #[param(nullable = false)]
    device_id: Option<DeviceId>,
}

/// A list of sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    /// The sessions, the oldest first.
    sessions: Vec<SessionRecord>,
}

/// The sessions of everyone, or of one user.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    operation_id = "sessions",
    security(("operator" = [])),
    params(Which),
    responses(
        (status = 200, description = "The sessions.", body = SessionList),
        (status = 400, description = "A parameter is no name, or is not known.", body = ApiRefusal),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
    ),
)]
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<SessionList>, ApiError> {
    api_key(&app, remote, &headers)?;
    let Query(Which { user_id, device_id }) = which?;
    let sessions = app.hub.view(move |hub, _| {
        let asked = |session: &SessionRecord| {
            user_id.as_ref().is_none_or(|user| session.user_id == *user)
                && device_id.as_ref().is_none_or(|device| session.device_id == *device)
        };
        SessionList { sessions: hub.sessions().filter(asked).collect() }
    });
    sessions.await.map(Json).ok_or_else(ApiError::stopping)
}

/// Closes the sessions of a user or of one device, ends the calls that they are in, and closes the
/// user's allocations at the relay.
///
/// With a token that is still valid the user may come back, but gets no credentials for the relay
/// before `--kick-ttl` is over; with a new one at once. Earlier credentials are refused.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions",
    operation_id = "closeSessions",
    security(("operator" = [])),
    params(
        ("userId" = UserId, Query, description = "The user."),
        ("deviceId" = Option<DeviceId>, Query, description = "Only those on this device."),
    ),
    responses(
        (status = 200, description = "The number of sessions, calls and allocations that were closed.", body = Kicked),
        (status = 400, description = "`userId` is missing, or a parameter is no name, or is not known.", body = ApiRefusal),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
    ),
)]
pub(super) async fn kick(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Kicked>, ApiError> {
    api_key(&app, remote, &headers)?;
    let Query(Which { user_id, device_id }) = which?;
    let user = user_id.ok_or_else(|| ApiError::invalid("`userId` is needed.".to_owned()))?;
    let kick_from_relay = app.sources.kick_from_relay.clone();
    let kicked = app.hub.act(move |hub, now| {
        let kicked = hub.kick(now, &user, device_id.as_ref());
        // This comes before the relay is told of the calls that this ends, so that it counts their
        // allocations as well.
        let calls = device_id.is_some().then_some(&*kicked.ended);
        let closing = kick_from_relay(now, &user, calls);
        (kicked, closing)
    });
    let (mut kicked, closing) = kicked.await.ok_or_else(ApiError::stopping)?;
    kicked.allocations = closing.await;
    Ok(Json(kicked))
}

/// The answer of a server that works.
#[derive(Serialize, ToSchema)]
pub(super) struct Well {
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
pub(super) async fn health() -> Json<Well> {
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
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Well>, ApiError> {
    if !(app.sources.relay_is_whole)() {
        return Err(ApiError::relay_broken());
    }
    match app.is_draining() {
        false => Ok(Json(Well { ok: true })),
        true => Err(ApiError::stopping()),
    }
}

/// Answers a request for a page that does not exist.
pub(super) async fn not_found() -> ApiError {
    ApiError::not_found("There is no such page.")
}

/// Answers a request whose method its page does not have.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::method()
}
