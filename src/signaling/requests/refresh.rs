//! `auth:refresh { token }`: go on with another token. The front has looked at it, since the hub has
//! no keys; here comes what it found.

use super::{Answered, Sender};
use crate::{
    auth::Identity,
    clock::Now,
    signaling::{ErrorCode, Hub, RequestError, Timestamp, tokens::expired},
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    proof: Option<Result<Identity, RequestError>>,
) -> Answered {
    let unproved = || Err(RequestError::new(ErrorCode::Unauthorized, "There is no token."));
    let identity = proof.unwrap_or_else(unproved)?;
    if identity.user != sender.user {
        return Err(RequestError::new(ErrorCode::WrongUser, "The token is another user's."));
    }
    if expired(now, identity.expires) {
        return Err(RequestError::new(ErrorCode::TokenExpired, "The token has expired."));
    }
    let expires = Timestamp(std::time::Duration::from_secs(identity.expires));
    hub.replace_token(now, sender.session, identity);
    Ok([("expiresAt".into(), expires.to_string().into())].into_iter().collect())
}
