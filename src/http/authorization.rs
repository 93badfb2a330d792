//! The check of the token or the key in the header `Authorization` of a request.

use axum::http::{HeaderMap, header};
use callbox_signaling::{ErrorCode, RequestError, jwt::Identity};

use super::{app::App, arrival::Remote, error::ApiError};

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
    RequestError::new(ErrorCode::Unauthorized, message).into()
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
