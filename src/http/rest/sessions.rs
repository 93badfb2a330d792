//! The page of sessions, for back ends.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, Query, State, rejection::QueryRejection},
    http::HeaderMap,
};
use callbox_base::ids::{DeviceId, UserId};
use callbox_signaling::{Kicked, SessionRecord};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::{
    app::App,
    arrival::Remote,
    authorization::api_key,
    error::{ApiError, ApiRefusal},
};

/// A filter for sessions. An unknown parameter is refused: it may be meant as a limit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct SessionFilter {
    /// Only the sessions of this user.
    #[param(nullable = false)]
    user_id: Option<UserId>,
    /// Only the sessions on this device.
    #[param(nullable = false)]
    device_id: Option<DeviceId>,
}

/// A list of sessions.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SessionList {
    /// The sessions, the oldest first.
    sessions: Vec<SessionRecord>,
}

/// The sessions of everyone, or of one user.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    operation_id = "sessions",
    security(("operator" = [])),
    params(SessionFilter),
    responses(
        (status = 200, description = "The sessions.", body = SessionList),
        (status = 400, description = "A parameter is no name, or is not known.", body = ApiRefusal),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
    ),
)]
pub(in crate::http) async fn sessions(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    filter: Result<Query<SessionFilter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<SessionList>, ApiError> {
    api_key(&app, remote, &headers)?;
    let Query(SessionFilter { user_id, device_id }) = filter?;
    let sessions = app.hub.view(move |hub, _| {
        let matches = |session: &SessionRecord| {
            user_id.as_ref().is_none_or(|user| session.user_id == *user)
                && device_id.as_ref().is_none_or(|device| session.device_id == *device)
        };
        SessionList { sessions: hub.sessions().filter(matches).collect() }
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
pub(in crate::http) async fn kick(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    filter: Result<Query<SessionFilter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Kicked>, ApiError> {
    api_key(&app, remote, &headers)?;
    let Query(SessionFilter { user_id, device_id }) = filter?;
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
