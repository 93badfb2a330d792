//! Users who were kicked, and the tokens that are revoked for the relay by it. A user with a new
//! token gets relay credentials again.

use std::time::{Duration, Instant};

use callbox_base::{clock::Now, expiring_map::ExpiringMap, ids::UserId};

use super::config::TOKEN_LEEWAY;
use crate::jwt::{Identity, TokenId};

/// The largest number of kicked users that are remembered. Past it the one kicked first is
/// forgotten.
const MAX_KICKED: usize = 10_000;

/// The largest number of revoked tokens of one user that are remembered, the latest ones.
const MAX_TOKENS: usize = 64;

/// The marks of a session's token by which a kick revokes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenMark {
    id: TokenId,
    issued: Option<u64>,
}

impl TokenMark {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self { id: identity.token, issued: identity.issued }
    }

    pub(crate) fn id(self) -> TokenId {
        self.id
    }
}

/// A user who was kicked.
#[derive(Debug)]
struct Kick {
    /// The time of the last kick, on both clocks.
    at: Now,
    /// The tokens of the sessions that were closed.
    tokens: Vec<TokenId>,
    /// The second before which issued tokens are refused as well, if they have the time of their
    /// issue: some may have had no session.
    issued_before: Option<u64>,
    /// True if the relay refuses all credentials of the user.
    is_shut_out: bool,
}

/// The kicked users, until their kicks expire.
#[derive(Debug)]
pub(super) struct Kicks(ExpiringMap<UserId, Kick, Instant>);

impl Default for Kicks {
    fn default() -> Self {
        Self(ExpiringMap::new(MAX_KICKED))
    }
}

impl Kicks {
    /// Records that a user was kicked, from all devices or from one, and revokes these tokens of
    /// the user's sessions.
    pub(crate) fn add(
        &mut self,
        now: Now,
        user: &UserId,
        tokens: impl Iterator<Item = TokenId>,
        all_devices: bool,
        ttl: Duration,
    ) {
        self.0.remove_expired(now.instant);
        let new = Kick { at: now, tokens: Vec::new(), issued_before: None, is_shut_out: false };
        let mut kick = self.0.remove(user).unwrap_or(new);
        kick.at = now;
        kick.tokens.extend(tokens);
        let over = kick.tokens.len().saturating_sub(MAX_TOKENS);
        kick.tokens.drain(..over);
        if all_devices {
            // The clock of the issuer may be off by the leeway.
            let before = now.unix_secs().saturating_sub(TOKEN_LEEWAY.as_secs());
            kick.issued_before = Some(before);
            kick.is_shut_out = true;
        }
        self.0.insert(user.clone(), kick, now.instant + ttl);
    }

    /// Returns true if a token was revoked for the relay.
    pub(crate) fn refuse(&self, now: Now, user: &UserId, token: TokenMark) -> bool {
        let is_over = self.0.until(user).is_none_or(|until| until <= now.instant);
        let Some(kick) = self.0.get(user).filter(|_| !is_over) else { return false };
        let is_older = |issued: u64| kick.issued_before.is_some_and(|before| issued < before);
        kick.tokens.contains(&token.id) || token.issued.is_some_and(is_older)
    }

    /// Records that the relay is to accept the user's credentials again. Returns true if it refused
    /// all of them.
    pub(crate) fn readmit(&mut self, user: &UserId) -> bool {
        self.0.get_mut(user).is_some_and(|kick| std::mem::take(&mut kick.is_shut_out))
    }

    /// Returns the time from which credentials for a user are to be dated: those made in the second
    /// of a kick are refused with those from before.
    pub(crate) fn date(&self, now: Now, user: &UserId) -> Now {
        let kicked = self.0.get(user).map(|kick| Duration::from_secs(kick.at.unix_secs() + 1));
        Now { unix: kicked.map_or(now.unix, |after| after.max(now.unix)), ..now }
    }

    /// Returns the number of users.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_kicks_are_removed_and_the_table_is_bounded() {
        let mut now = Now { instant: Instant::now(), unix: Duration::from_secs(1000) };
        let (mut kicks, hour) = (Kicks::default(), Duration::from_secs(3600));
        let user = |n: usize| UserId::new(&format!("user-{n}")).unwrap();
        let mark = |text: &str| TokenMark { id: TokenId::of(text), issued: None };
        for n in 0..2 * MAX_TOKENS {
            let token = TokenId::of(&format!("a.{n}.b"));
            kicks.add(now, &user(0), [token].into_iter(), false, hour);
        }
        assert_eq!(kicks.0.len(), 1);
        assert!(!kicks.refuse(now, &user(0), mark("a.0.b")));
        assert!(kicks.refuse(now, &user(0), mark("a.127.b")));
        now = now + hour;
        assert!(!kicks.refuse(now, &user(0), mark("a.127.b")));
        for n in 0..MAX_KICKED + 10 {
            now = now + Duration::from_millis(1);
            kicks.add(now, &user(n), std::iter::empty(), true, hour);
        }
        assert_eq!(kicks.0.len(), MAX_KICKED);
        // A token that says that it was issued before, and one that does not.
        let old = TokenMark { id: TokenId::of("x"), issued: Some(now.unix_secs() - 60) };
        assert!(kicks.refuse(now, &user(MAX_KICKED), old));
        assert!(!kicks.refuse(now, &user(MAX_KICKED), mark("x")));
    }
}
