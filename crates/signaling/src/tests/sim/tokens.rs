//! The tokens of sessions.

use std::time::Duration;

use callbox_base::ids::{SessionId, UserId};
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{Sim, ms, user};
use crate::{
    ErrorCode, Input, RequestError, RequestId,
    jwt::{Grants, Identity, TokenId},
};

/// A token that a session has.
#[derive(Debug, Clone)]
pub(super) struct TokenRecord {
    pub expires: u64,
    /// Since when, counted from 1970.
    pub since: Duration,
    /// The session has received `auth:expiring`.
    pub warned: bool,
    pub grants: Grants,
    pub id: TokenId,
    pub issued: u64,
}

impl TokenRecord {
    /// The bearer of the token, if that is this user.
    pub(super) fn identity(&self, user: UserId) -> Identity {
        let (expires, grants) = (self.expires, self.grants.clone());
        Identity { user, name: None, expires, grants, token: self.id, issued: Some(self.issued) }
    }
}

impl Sim {
    /// A new token of a user.
    pub(super) fn make_token(&mut self, user: &UserId, expires: u64) -> TokenRecord {
        let grants = self.any_grants();
        let id = TokenId::of(&format!("{}.", self.made.len()));
        let (since, issued) = (self.now.unix, self.now.unix_secs());
        let token = TokenRecord { expires, since, warned: false, grants, id, issued };
        self.made.push((user.clone(), token.clone()));
        token
    }

    /// Makes the rights of a token, mostly all.
    pub(super) fn any_grants(&mut self) -> Grants {
        let mut patterns = || {
            let lists: [&[&str]; 3] = [&[], &["alice", "bob"], &["*a*"]];
            let list = lists.choose(&mut self.rng).unwrap();
            let list = list.iter().map(|pattern| (*pattern).to_owned()).collect();
            self.rng.random_bool(0.1).then_some(list)
        };
        Grants {
            call: patterns(),
            presence: patterns(),
            rooms: self.rng.random_bool(0.1).then(|| vec!["lobby".to_owned()]),
            block: self.rng.random_bool(0.05).then(|| vec!["carol".to_owned()]),
            max_calls: self.rng.random_bool(0.1).then(|| self.rng.random_range(0..=3)),
            relay: self.rng.random_bool(0.8),
        }
    }

    /// A client brings a fresh token, or something that is none for its session.
    pub(super) fn refresh(&mut self) {
        let Some(session) = self.any_session() else { return };
        let own = self.sessions[&session].0.clone();
        self.number += 1;
        let lifetime = *[0, 20, 300, 300, 86_400, 86_400].choose(&mut self.rng).unwrap();
        let ago = *[0, 0, 0, 0, 1000].choose(&mut self.rng).unwrap();
        let expires = self.now.unix_secs() + lifetime - ago;
        let (user, proof) = match self.rng.random_range(0..10) {
            0 => (own, Err(RequestError::new(ErrorCode::Unauthorized, "It is not valid."))),
            1 => (user("eve"), Ok(())),
            _ => (own, Ok(())),
        };
        let token = self.make_token(&user, expires);
        let data = json!({ "expires": expires, "user": user, "valid": proof.is_ok() });
        let proof = proof.map(|()| token.identity(user));
        self.brought.insert(RequestId(self.number), token);
        let id = RequestId(self.number);
        self.asked.insert(id, ("auth:refresh".to_owned(), session, data.clone()));
        self.input(Input::Refresh {
            session,
            id: Some(id),
            data: data.into(),
            proof: proof.into(),
        });
    }

    /// A session has this token from now on.
    pub(super) fn hold(&mut self, session: SessionId, mut token: TokenRecord) {
        let before = &self.tokens[&session];
        if before.expires == token.expires {
            (token.warned, token.since) = (before.warned, before.since);
        }
        if let Some(view) = self.views.get_mut(&session) {
            view.retain(|user, _| token.grants.may_see(user));
        }
        self.tokens.insert(session, token);
    }

    /// Checks that neither a user without the right nor a kicked one has relay credentials.
    pub(super) fn check_ice(&mut self, session: SessionId, data: &Value) {
        let is_there = data["turnCredentials"].is_object();
        let token = &self.tokens[&session];
        let is_refused = self.is_refused(&self.sessions[&session].0, token);
        assert_eq!(is_there, token.grants.relay && !is_refused, "{data}");
        self.without_relay += u64::from(is_refused);
    }

    /// After each input: nobody is there whose token is over, and everyone has been told of one
    /// that is over soon, but nobody of another.
    pub(super) fn check_tokens(&self) {
        let warning = self.hub.config().token_warning;
        for (session, TokenRecord { expires, since, warned, .. }) in &self.tokens {
            let expires = Duration::from_secs(*expires);
            let is_over = self.now.unix >= expires.saturating_add(ms(5000));
            assert!(!is_over, "a session outlived its token");
            if self.is_here(*session) {
                let ahead = warning.min(expires.saturating_sub(*since) / 2);
                let is_near = !warning.is_zero() && self.now.unix >= expires - ahead;
                assert_eq!(*warned, is_near, "{session} was warned at another time");
            }
        }
    }
}
