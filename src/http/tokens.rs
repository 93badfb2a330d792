//! Tokens for users, minted for a back end without a library for them.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Extension, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode},
};
use callbox_base::{clock::Now, ids::UserId};
use callbox_signaling::{
    Timestamp,
    jwt::{DEFAULT_TTL, Grants, MintError, Wanted},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    app::App,
    arrival::Remote,
    authorization::api_key,
    error::{ApiError, ApiRefusal},
};

/// The claims of a token. An unknown field is refused: it may be meant as a limit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// The user: its `sub`.
    user_id: UserId,
    /// The name to show to people: its `name`.
    name: Option<String>,
    /// The lifetime in seconds.
    ttl: Option<u64>,
    /// The rights of its bearer: its `callbox`.
    #[serde(default)]
    #[schema(required = false)]
    callbox: Grants,
}

/// A token, to be given to its user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenAnswer {
    /// The token.
    token: String,
    /// The end of its lifetime.
    expires_at: Timestamp,
}

/// Mints a token for a user, signed with the server's secret.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "makeToken",
    security(("operator" = [])),
    request_body = TokenRequest,
    responses(
        (status = 201, description = "The token.", body = TokenAnswer),
        (status = 400, description = "The server would not take such a token.", body = ApiRefusal),
        (status = 401, description = "The API key is missing or wrong.", body = ApiRefusal),
        (status = 413, description = "The body is larger than the server takes.", body = ApiRefusal),
        (status = 501, description = "The server has no secret to sign with.", body = ApiRefusal),
    ),
)]
pub(super) async fn mint(
    State(app): State<Arc<App>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    request: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<TokenAnswer>), ApiError> {
    api_key(&app, remote, &headers)?;
    let Json(request) = request?;
    let minter = app.minter.as_ref().ok_or_else(ApiError::no_signing_secret)?;
    let wanted = Wanted {
        user: request.user_id,
        name: request.name,
        ttl: request.ttl.map_or(DEFAULT_TTL, Duration::from_secs),
        grants: request.callbox,
    };
    let minted = minter.mint(&wanted, Now::read())?;
    let expires_at = Timestamp(Duration::from_secs(minted.expires));
    Ok((StatusCode::CREATED, Json(TokenAnswer { token: minted.token, expires_at })))
}

impl From<MintError> for ApiError {
    fn from(error: MintError) -> Self {
        Self::invalid(format!("No such token can be made: {error}."))
    }
}
