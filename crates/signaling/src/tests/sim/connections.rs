//! Connections come and go.

use callbox_base::ids::{DeviceId, SessionId};
use rand::{Rng, seq::IndexedRandom};

use super::{DEVICES, Reader, Sim, USERS, ms, tokens::TokenRecord, user};
use crate::{Input, Resume};

impl Sim {
    pub(super) fn open(&mut self) {
        let session = SessionId::generate(self.now.unix_ms(), &mut self.rng);
        let mut name = user(USERS.choose(&mut self.rng).unwrap());
        let mut device = DeviceId::new(DEVICES.choose(&mut self.rng).unwrap()).unwrap();
        let away: Vec<_> = self.away.iter().copied().collect();
        if let Some(session) = away.choose(&mut self.rng)
            && self.rng.random_bool(0.7)
        {
            (name, device) = self.sessions[session].clone();
        }
        let lifetime = *[0, 20, 300, 300, 86_400, u64::MAX / 2].choose(&mut self.rng).unwrap();
        let expires = self.now.unix_secs() + lifetime;
        // Events that are due by now still go to the old connection.
        self.advance(ms(0));
        // Somebody who was there before may go on with that, or say so wrongly.
        let seat = (name.clone(), device.clone());
        let known = self.readers.iter().filter(|(id, _)| self.sessions.get(id) == Some(&seat));
        let known = known.map(|(id, reader)| (*id, reader.has)).next_back();
        let resume = match (known, self.rng.random_range(0..10)) {
            (_, 0) => Resume::Never,
            (Some((session, seq)), 1..8) => Resume::From { session, seq },
            (Some((session, _)), 8) => {
                // A number that was never sent.
                let seq = self.hub.outbox().last_seq(session) + 1;
                Resume::From { session, seq }
            }
            _ => Resume::New,
        };
        if let Resume::From { seq, .. } = resume {
            self.claim = seq;
        }
        self.sessions.insert(session, seat);
        let token =
            self.kept_token(&name).map(|token| TokenRecord { since: self.now.unix, ..token });
        let token = token.unwrap_or_else(|| self.make_token(&name, expires));
        let identity = token.identity(name);
        self.tokens.insert(session, TokenRecord { warned: false, ..token });
        if resume != Resume::Never {
            self.readers.insert(session, Reader::default());
        }
        let identity = identity.into();
        self.input(Input::Open { session, identity, device: Some(device), resume });
    }

    /// A connection breaks.
    pub(super) fn lose(&mut self) {
        let Some(session) = self.any_session() else { return };
        self.advance(ms(0));
        if !self.sessions.contains_key(&session) {
            return;
        }
        // The last events on their way may not have arrived.
        let lost = self.rng.random_range(0..4);
        match self.readers.get_mut(&session) {
            Some(reader) => {
                reader.has = reader.has.saturating_sub(lost).max(reader.said);
                self.away.insert(session);
            }
            None => drop(self.sessions.remove(&session)),
        }
        self.input(Input::Lost { session });
    }

    pub(super) fn acknowledge(&mut self) {
        let all: Vec<_> = self.readers.keys().copied().filter(|id| self.is_here(*id)).collect();
        let Some(&session) = all.choose(&mut self.rng) else { return };
        let Some(reader) = self.readers.get_mut(&session) else { return };
        let seq = self.rng.random_range(reader.said..=reader.has);
        reader.said = seq;
        self.input(Input::Acknowledged { session, seq });
    }

    pub(super) fn is_here(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session) && !self.away.contains(&session)
    }

    pub(super) fn any_session(&mut self) -> Option<SessionId> {
        let all: Vec<_> = self.sessions.keys().copied().filter(|id| self.is_here(*id)).collect();
        all.choose(&mut self.rng).copied()
    }

    pub(super) fn close(&mut self) {
        let Some(session) = self.any_session() else { return };
        self.close_session(session);
    }

    pub(super) fn close_session(&mut self, session: SessionId) {
        // Timers that are due fire first, and the session may still hear of it.
        self.advance(ms(0));
        self.sessions.remove(&session);
        let leaves = self.rng.random_bool(0.3);
        self.input(if leaves { Input::Left { session } } else { Input::Closed { session } });
    }
}
