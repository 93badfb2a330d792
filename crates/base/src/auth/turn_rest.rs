//! Time-limited TURN credentials, by the convention that coturn's `use-auth-secret` made common
//! (draft-uberti-behave-turn-rest-00): the user name carries its own expiry, and the password is an
//! HMAC over the user name, so that whoever mints and whoever verifies share only a secret.

use std::{fmt::Write, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::hmac;
use serde::Serialize;

use super::Secret;
use crate::{
    clock::Now,
    ids::{CallId, UserId},
};

/// The credentials with which a client uses the relay: `turnCredentials` in payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TurnCredentials {
    /// `<unix expiry>:<user>`, or `<unix expiry>:<user>:<callId>` for the time of one call.
    pub username: String,
    /// base64(HMAC-SHA1(secret, username)).
    pub password: String,
    /// For how many seconds it opens allocations.
    pub ttl: u64,
    /// The `turn:` URIs of the relay.
    pub uris: Vec<String>,
}

/// A TURN username taken apart: `<unix expiry>:<user>[:<callId>]`.
///
/// In the user part that we mint, `%` and `:` are escaped as `%25` and `%3A`, so that no user can
/// be named like somebody else's call. Another minter need not: a last part that is no call id
/// of ours belongs to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnUsername {
    /// Seconds since 1970 after which it opens nothing.
    pub expires: u64,
    /// Whose it is; empty where the minter names nobody, as coturn allows.
    pub user: String,
    /// The one call it is for.
    pub call: Option<CallId>,
}

impl TurnUsername {
    /// Reads a username; `None` if it does not begin with a number.
    pub fn parse(text: &str) -> Option<Self> {
        let (expires, rest) = text.split_once(':').unwrap_or((text, ""));
        if expires.is_empty() || !expires.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let expires = expires.parse().ok()?;
        let call = rest.rsplit_once(':').and_then(|(user, call)| Some((user, call.parse().ok()?)));
        let (user, call) = match call {
            Some((user, call)) => (user, Some(call)),
            None => (rest, None),
        };
        Some(Self { expires, user: unescape(user), call })
    }

    /// The text that goes into the USERNAME attribute.
    fn format(expires: u64, user: &UserId, call: Option<CallId>) -> String {
        let mut text = format!("{expires}:");
        for c in user.as_str().chars() {
            match c {
                '%' => text.push_str("%25"),
                ':' => text.push_str("%3A"),
                c => text.push(c),
            }
        }
        if let Some(call) = call {
            // Writing to a String cannot fail.
            let _ = write!(text, ":{call}");
        }
        text
    }
}

fn unescape(user: &str) -> String {
    user.replace("%3A", ":").replace("%25", "%")
}

/// The secrets that TURN REST credentials are made and checked with. The first mints, all verify:
/// to rotate, put the new one in front and take the old one out once its credentials have expired.
#[derive(Debug, Clone, Default)]
pub struct TurnSecrets {
    keys: Vec<hmac::Key>,
}

impl TurnSecrets {
    /// Uses these secrets, the first one to mint.
    pub fn new(secrets: &[Secret]) -> Self {
        let key = |s: &Secret| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, s.expose());
        Self { keys: secrets.iter().map(key).collect() }
    }

    /// Returns true if there is no secret, so that nothing can be minted or verified.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Mints credentials for `user` that open allocations for `ttl` from now, for one call if one
    /// is named. `None` without a secret.
    pub fn mint(
        &self,
        now: Now,
        ttl: Duration,
        user: &UserId,
        call: Option<CallId>,
        uris: &[String],
    ) -> Option<TurnCredentials> {
        let key = self.keys.first()?;
        let username = TurnUsername::format(now.unix_secs() + ttl.as_secs(), user, call);
        let password = password(key, &username);
        Some(TurnCredentials { username, password, ttl: ttl.as_secs(), uris: uris.to_vec() })
    }

    /// The passwords that `username` would have, one for each secret.
    pub fn passwords(&self, username: &str) -> impl Iterator<Item = String> {
        self.keys.iter().map(move |key| password(key, username))
    }
}

fn password(key: &hmac::Key, username: &str) -> String {
    BASE64_STANDARD.encode(hmac::sign(key, username.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn now() -> Now {
        Now { instant: std::time::Instant::now(), unix: Duration::from_secs(1_700_000_000) }
    }

    /// The value that `printf 1700003600:alice | openssl dgst -sha1 -hmac north -binary | base64`
    /// prints.
    #[test]
    fn the_password_is_what_any_other_minter_makes() {
        let secrets = TurnSecrets::new(&[Secret::new("north"), Secret::new("old")]);
        let user = UserId::new("alice").unwrap();
        let minted = secrets.mint(now(), Duration::from_secs(3600), &user, None, &[]).unwrap();
        assert_eq!(minted.username, "1700003600:alice");
        assert_eq!(minted.password, "wjwSXO2ch1B6VaLTLMy2Avn5O9o=");
        assert_eq!(secrets.passwords(&minted.username).count(), 2);
        assert_eq!(secrets.passwords(&minted.username).next().unwrap(), minted.password);
    }

    #[test]
    fn a_foreign_username_is_understood() {
        let parse = |text| TurnUsername::parse(text).unwrap();
        assert_eq!(parse("1700000000").user, "");
        assert_eq!(parse("1700000000:a:b").user, "a:b");
        assert_eq!(parse("1700000000:a:b").call, None);
        for bad in ["", ":alice", "alice", "+17:alice", "99999999999999999999999:a"] {
            assert_eq!(TurnUsername::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_user_is_named_like_a_call() {
        let call = CallId::generate(5, &mut StdRng::seed_from_u64(1));
        let user = UserId::new(&format!("mallory:{call}")).unwrap();
        let parsed = TurnUsername::parse(&TurnUsername::format(9, &user, None)).unwrap();
        assert_eq!(parsed.call, None);
        assert_eq!(parsed.user, user.as_str());
    }

    proptest! {
        #[test]
        fn what_is_minted_is_read_back(expires: u32, name in "[^\\p{Cc}]{1,30}", seed: u64, with_call: bool) {
            let user = UserId::new(&name).unwrap();
            let call = with_call.then(|| CallId::generate(1, &mut StdRng::seed_from_u64(seed)));
            let text = TurnUsername::format(expires.into(), &user, call);
            let parsed = TurnUsername::parse(&text).unwrap();
            prop_assert_eq!(parsed, TurnUsername { expires: expires.into(), user: name, call });
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".*") {
            let _ = TurnUsername::parse(&text);
        }
    }
}
