//! The sessions: each is one connection of one device, or waits to be resumed over another one.

use std::{collections::BTreeSet, time::Instant};

use callbox_base::{
    clock::{Now, TimerQueue},
    deadline::Deadline,
    ids::{DeviceId, SessionId, UserId},
};

use super::{
    ClientMark, Config,
    hash_table::Lookup,
    rate::{EventLimit, Verdict},
    sender::Sender,
    session_token::SessionToken,
    timer::Timer,
};

/// The largest number of users that a session may block.
pub(super) const MAX_BLOCKED: usize = 256;

/// The session blocks as many users as it may.
#[derive(Debug)]
pub(super) struct TooManyBlocked;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    user: UserId,
    device: DeviceId,
    /// The digest by which its client is recognized if it comes back and does not name its device.
    mark: Option<ClientMark>,
    token: SessionToken,
    /// The next check of the token.
    token_check: Deadline,
    events: EventLimit,
    /// The users who may not call this one for as long as the session lasts.
    blocked: BTreeSet<UserId>,
    /// The end of the resume window; unset while there is a connection.
    away_until: Deadline,
}

impl Session {
    /// Makes a session with a connection.
    pub(crate) fn new(
        user: UserId,
        device: DeviceId,
        mark: Option<ClientMark>,
        token: SessionToken,
    ) -> Self {
        Self {
            user,
            device,
            mark,
            token,
            token_check: Deadline::default(),
            events: EventLimit::default(),
            blocked: BTreeSet::new(),
            away_until: Deadline::default(),
        }
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    pub(crate) fn device(&self) -> &DeviceId {
        &self.device
    }

    pub(crate) fn mark(&self) -> Option<ClientMark> {
        self.mark
    }

    pub(crate) fn token(&self) -> &SessionToken {
        &self.token
    }

    pub(crate) fn token_mut(&mut self) -> &mut SessionToken {
        &mut self.token
    }

    /// Returns true if there is a connection.
    pub(crate) fn is_here(&self) -> bool {
        !self.away_until.is_set()
    }

    /// Counts one event of the client.
    pub(crate) fn count_event(&mut self, now: Instant, config: &Config) -> Verdict {
        self.events.take(now, config.events_per_second, config.event_burst)
    }

    /// Returns true if the session or its token does not take calls from this user.
    pub(crate) fn blocks(&self, caller: &UserId) -> bool {
        self.blocked.contains(caller) || self.token.grants().blocks(caller)
    }

    /// Blocks a user.
    ///
    /// # Errors
    /// [`TooManyBlocked`] if there are [`MAX_BLOCKED`] others already.
    pub(crate) fn block(&mut self, user: UserId) -> Result<(), TooManyBlocked> {
        if self.blocked.len() >= MAX_BLOCKED && !self.blocked.contains(&user) {
            return Err(TooManyBlocked);
        }
        self.blocked.insert(user);
        Ok(())
    }

    pub(crate) fn unblock(&mut self, user: &UserId) {
        self.blocked.remove(user);
    }
}

/// The sessions by id, and those without a connection in the order in which they are given up.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    entries: Lookup<SessionId, Session>,
    /// The end of the resume window of each session without a connection.
    away: BTreeSet<(Instant, SessionId)>,
}

impl Sessions {
    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.entries.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.entries.get_mut(&id)
    }

    pub(crate) fn contains(&self, id: SessionId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the sessions in the order of ids, which is that of age.
    pub(crate) fn sorted(&self) -> Vec<(SessionId, &Session)> {
        let mut sessions: Vec<_> =
            self.entries.iter().map(|(id, session)| (*id, session)).collect();
        sessions.sort_unstable_by_key(|(id, _)| *id);
        sessions
    }

    /// Returns the sender of a request that came over this session.
    pub(crate) fn sender(&self, id: SessionId) -> Option<Sender> {
        let session = self.get(id)?;
        let (user, device) = (session.user.clone(), session.device.clone());
        Some(Sender { session: id, user, device })
    }

    /// Adds a session, whose id was never used before.
    pub(crate) fn insert(&mut self, id: SessionId, session: Session) {
        self.entries.insert(id, session);
    }

    /// Removes a session with its timers.
    pub(crate) fn remove(
        &mut self,
        id: SessionId,
        timers: &mut TimerQueue<Timer>,
    ) -> Option<Session> {
        self.mark_here(id, timers);
        let mut session = self.entries.remove(&id)?;
        session.token_check.clear(timers, Timer::Token(id));
        Some(session)
    }

    /// Returns true if a session has a connection.
    pub(crate) fn is_here(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(Session::is_here)
    }

    /// Marks a session as one without a connection, to be given up at `until`. Returns false if it
    /// was one already.
    pub(crate) fn mark_away(
        &mut self,
        id: SessionId,
        until: Instant,
        timers: &mut TimerQueue<Timer>,
    ) -> bool {
        let Some(session) = self.entries.get_mut(&id).filter(|session| session.is_here()) else {
            return false;
        };
        session.away_until.set(until, timers, Timer::Away(id));
        self.away.insert((until, id))
    }

    /// Marks a session as one with a connection.
    pub(crate) fn mark_here(&mut self, id: SessionId, timers: &mut TimerQueue<Timer>) {
        let Some(session) = self.entries.get_mut(&id) else { return };
        if let Some(until) = session.away_until.time() {
            session.away_until.clear(timers, Timer::Away(id));
            self.away.remove(&(until, id));
        }
    }

    /// Returns the number of sessions without a connection.
    pub(crate) fn away_len(&self) -> usize {
        self.away.len()
    }

    /// Returns the session without a connection that is given up next.
    pub(crate) fn oldest_away(&self) -> Option<SessionId> {
        self.away.first().map(|(_, id)| *id)
    }

    /// Returns the one of these sessions that is given up next.
    pub(crate) fn oldest_away_of(&self, ids: impl Iterator<Item = SessionId>) -> Option<SessionId> {
        let away = ids.filter_map(|id| Some((self.get(id)?.away_until.time()?, id)));
        away.min().map(|(_, id)| id)
    }

    /// Schedules the next check of a session's token.
    pub(crate) fn schedule_token_check(
        &mut self,
        now: Now,
        id: SessionId,
        timers: &mut TimerQueue<Timer>,
    ) {
        let Some(session) = self.entries.get_mut(&id) else { return };
        session.token_check.set(session.token.next_check(now), timers, Timer::Token(id));
    }

    /// Checks that the sessions without a connection are those in the order in which they are given
    /// up.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let away = self.entries.iter().filter_map(|(id, s)| Some((s.away_until.time()?, *id)));
        assert_eq!(away.collect::<BTreeSet<_>>(), self.away);
    }
}
