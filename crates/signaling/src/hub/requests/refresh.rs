//! `auth:refresh { token }`: go on with another token. The front has looked at it, since the hub
//! has no keys; here comes what it found.

use callbox_base::clock::Now;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    ErrorCode, Hub, RequestError, Timestamp, answers::AuthRefreshAnswer, hub::tokens,
    jwt::Identity, sender::Sender, session_token::has_expired,
};

/// Go on with another token.
#[derive(Deserialize, ToSchema)]
pub struct AuthRefreshRequest {
    /// The token.
    pub token: String,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    proof: Option<Result<Identity, RequestError>>,
) -> Result<AuthRefreshAnswer, RequestError> {
    let unproved = || Err(RequestError::new(ErrorCode::Unauthorized, "There is no token."));
    let identity = proof.unwrap_or_else(unproved)?;
    if identity.user != sender.user {
        return Err(RequestError::new(ErrorCode::WrongUser, "The token is another user's."));
    }
    if has_expired(now, identity.expires) {
        return Err(RequestError::new(ErrorCode::TokenExpired, "The token has expired."));
    }
    let expires = Timestamp(std::time::Duration::from_secs(identity.expires));
    tokens::replace(hub, now, sender.session, identity);
    Ok(AuthRefreshAnswer { expires_at: expires })
}
