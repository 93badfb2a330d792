//! Users are kicked, come back with the token that they had or with another one, and block each
//! other.

use std::time::Instant;

use callbox_base::ids::{DeviceId, SessionId, UserId};
use rand::{Rng, seq::IndexedRandom};
use serde_json::Value;

use super::{DEVICES, Sim, USERS, tokens::TokenRecord, user};
use crate::jwt::TokenId;

/// A kicked user, as the observer knows it.
pub(super) struct Kicked {
    until: Instant,
    tokens: Vec<TokenId>,
    /// Older tokens count no more, either.
    issued_before: u64,
    is_shut_out: bool,
}

impl Sim {
    /// An operator kicks a user, or one of the user's devices.
    pub(super) fn kick(&mut self) {
        self.advance(super::ms(0));
        let name = user(USERS.choose(&mut self.rng).unwrap());
        let device = DeviceId::new(DEVICES.choose(&mut self.rng).unwrap()).unwrap();
        let device = self.rng.random_bool(0.4).then_some(device);
        let is_meant = |seat: &super::Seat| {
            seat.0 == name && device.as_ref().is_none_or(|device| seat.1 == *device)
        };
        let meant = self.sessions.iter().filter(|(_, seat)| is_meant(seat));
        let tokens: Vec<_> = meant.map(|(session, _)| self.tokens[session].id).collect();
        self.log.push(format!("a kick of {name} {device:?}"));
        let kicked = self.hub.kick(self.now, &name, device.as_ref());
        assert_eq!(kicked.sessions, tokens.len(), "another number of sessions was closed");
        assert!(kicked.rooms <= kicked.calls && kicked.calls == kicked.ended.len());
        if !self.hub.config().kick_ttl.is_zero() {
            let until = self.now.instant + self.hub.config().kick_ttl;
            let before = self.kicked.remove(&name).filter(|kick| kick.until > self.now.instant);
            let mut kick = before.unwrap_or(Kicked {
                until,
                tokens: Vec::new(),
                issued_before: 0,
                is_shut_out: false,
            });
            kick.until = until;
            kick.tokens.extend(tokens);
            if device.is_none() {
                kick.issued_before = self.now.unix_secs() - 5;
                kick.is_shut_out = true;
            }
            self.kicked.insert(name, kick);
        }
        self.kicks += 1;
        self.drain();
    }

    /// Returns true if a token of a user gets no credentials for the relay.
    pub(super) fn is_refused(&self, user: &UserId, token: &TokenRecord) -> bool {
        let kick = self.kicked.get(user).filter(|kick| kick.until > self.now.instant);
        kick.is_some_and(|kick| {
            kick.tokens.contains(&token.id) || token.issued < kick.issued_before
        })
    }

    /// A token that a user has who was kicked, if it is good for a while.
    pub(super) fn kept_token(&mut self, user: &UserId) -> Option<TokenRecord> {
        self.kicked.get(user)?;
        let good = self.now.unix_secs() + 10;
        let own = self.made.iter().filter(|(of, token)| of == user && token.expires > good);
        let own: Vec<_> = own.map(|(_, token)| token.clone()).collect();
        own.choose(&mut self.rng).filter(|_| self.rng.random_bool(0.5)).cloned()
    }

    /// The relay takes the credentials of a user again.
    pub(super) fn readmitted(&mut self, user: &UserId) {
        let kick = self.kicked.get_mut(user).expect("somebody who was not kicked is let in");
        assert!(std::mem::take(&mut kick.is_shut_out), "let in twice");
        self.readmissions += 1;
    }

    /// After each input: whoever has a token that counts is not shut out, and whoever has none is.
    pub(super) fn check_kicks(&mut self) {
        let sessions = &self.sessions;
        self.blocked.retain(|session, _| sessions.contains_key(session));
        for (name, kick) in self.kicked.iter().filter(|(_, kick)| kick.is_shut_out) {
            let mut own = self.sessions.iter().filter(|(_, seat)| seat.0 == *name);
            let refused = |(session, _)| self.is_refused(name, &self.tokens[session]);
            let is_over = kick.until <= self.now.instant;
            assert!(is_over || own.all(refused), "{name} has a new token, and is shut out");
        }
    }

    /// A session has said whether it takes calls from somebody.
    pub(super) fn blocks(&mut self, session: SessionId, answer: &Value) {
        let name = user(answer["userId"].as_str().unwrap());
        let list = self.blocked.entry(session).or_default();
        match answer["blocked"] == true {
            true => list.insert(name),
            false => list.remove(&name),
        };
        self.blocks += 1;
    }

    fn is_known(&self, session: SessionId) -> bool {
        self.hub.session(session).is_some()
    }

    /// Returns true if a session of this user takes no calls from that one.
    pub(super) fn is_blocked(&self, caller: &UserId, callee: &UserId) -> bool {
        let own = self.sessions.iter().filter(|(_, seat)| seat.0 == *callee);
        // Sessions that were not resumed in time end without an event.
        let mut own = own.map(|(session, _)| session).filter(|id| self.is_known(**id));
        own.any(|session| {
            let list = self.blocked.get(session);
            list.is_some_and(|list| list.contains(caller))
                || self.tokens[session].grants.blocks(caller)
        })
    }
}
