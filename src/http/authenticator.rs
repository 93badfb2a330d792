//! The check of users' tokens, with their issuer's keys if these are published.

use std::time::Duration;

use callbox_base::clock::Now;
use callbox_signaling::{
    ErrorCode, RequestError,
    jwt::{Identity, RefusedToken, TokenError, TokenVerifier},
};

use super::{
    arrival::Remote,
    key_set::{KeySet, KeySource},
    refused::RefusedLog,
};

/// Authenticates users by their tokens.
pub(super) struct Authenticator {
    tokens: TokenVerifier,
    /// The keys that the issuer of tokens publishes, if it does.
    key_set: Option<KeySet>,
    refused: RefusedLog,
}

impl Authenticator {
    /// Starts to follow the published keys, if there is a source of them.
    pub(super) fn start(tokens: TokenVerifier, key_source: Option<KeySource>) -> Self {
        let key_set = key_source.map(KeySet::start);
        Self { tokens, key_set, refused: RefusedLog::default() }
    }

    /// Returns the log of refused credentials.
    pub(super) fn refused(&self) -> &RefusedLog {
        &self.refused
    }

    /// Identifies the bearer of a token. That takes a moment if its key must be fetched. A refusal
    /// is logged and not counted.
    pub(super) async fn identify(
        &self,
        remote: Remote,
        token: &str,
    ) -> Result<Identity, RequestError> {
        let lacks_key = |judged: &Result<Identity, RefusedToken>| {
            judged.as_ref().is_err_and(|refused| refused.error == TokenError::UnknownKey)
        };
        let mut judged = self.tokens.judge(token, Now::read());
        if lacks_key(&judged)
            && let Some(keys) = &self.key_set
        {
            let refreshed = keys.refresh().await;
            judged = self.tokens.judge(token, Now::read());
            if let (true, Err(again_in)) = (lacks_key(&judged), refreshed) {
                tracing::debug!("token not judged: its issuer's keys cannot be had");
                return Err(issuer_unavailable(again_in));
            }
        }
        judged.map_err(|refused| {
            let code = match refused.error {
                TokenError::Expired => ErrorCode::TokenExpired,
                TokenError::UnknownKey | TokenError::Invalid(_) => ErrorCode::Unauthorized,
            };
            self.refused.token(remote, &refused);
            RequestError::new(code, refused.error.to_string())
        })
    }
}

/// Returns the refusal of a token that may be valid.
fn issuer_unavailable(again_in: Duration) -> RequestError {
    let message = "The keys of the token's issuer cannot be had at the moment: try again later.";
    let ms = again_in.as_millis().try_into().unwrap_or(u64::MAX);
    RequestError::new(ErrorCode::IssuerUnavailable, message).retry_after_ms(ms)
}
