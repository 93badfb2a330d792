//! The hub: takes inputs, keeps the tables and the timers, gives outputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use callbox_base::{
    clock::{Now, TimerQueue},
    ids::{CallId, DeviceId, SessionId, UserId},
};
use rand::{SeedableRng, rngs::StdRng};
use serde::Serialize;

use super::{
    CallRecord, Config, EndReason, Input, Output, RelayAccess, RequestName, Stats, Timestamp,
    call::Calls,
    ended_calls::{EndedCall, EndedCalls},
    kept::Keeping,
    kicks::{Kicks, TokenMark},
    lookup::Lookup,
    members::Member,
    outbox::Outbox,
    pairs::Pairs,
    rooms::{Leaving, Rooms},
    stats::Counters,
    tables::{Session, Users},
    timer::Timer,
};
use crate::jwt::Identity;

/// The signaling server without its I/O: sessions, calls and the events between them.
///
/// Feed it with [`Hub::handle`] and, when [`Hub::next_timeout`] is due, [`Hub::handle_timeout`];
/// after either, take out every output with [`Hub::poll_output`]. It reads no clock, and its only
/// randomness is the seed, so that the same inputs give the same outputs. The [crate's
/// documentation](crate#the-run-loop) says how to drive it.
#[derive(Debug)]
pub struct Hub {
    pub(super) config: Config,
    pub(super) rng: StdRng,
    pub(super) sessions: Lookup<SessionId, Session>,
    /// The sessions without a connection, the one that is given up first in front.
    pub(super) away: BTreeSet<(Instant, SessionId)>,
    pub(super) users: Users,
    pub(super) calls: Calls,
    pub(super) rooms: Rooms,
    pub(super) pairs: Pairs,
    pub(super) kicks: Kicks,
    pub(super) ended: EndedCalls,
    /// The calls that are over and have allocations left, each with when its end is reported anyway.
    /// They are a few: the relay's quotas bound them.
    pub(super) settling: BTreeMap<CallId, (Instant, EndedCall)>,
    pub(super) timers: TimerQueue<Timer>,
    pub(super) outbox: Outbox,
    pub(super) counters: Counters,
    /// The state of calls that is kept for the next server, where something is.
    pub(super) keeping: Option<Keeping>,
    /// Once set, nobody comes in any more.
    pub(super) stopping: bool,
}

/// A user who is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUser {
    /// The user.
    pub user_id: UserId,
    /// The name to show to people, where a token has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The devices that are connected.
    pub devices: Vec<DeviceId>,
}

impl Hub {
    /// Makes a hub with nobody in it. `seed` must be unguessable: the ids of calls come from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut hub = Self {
            keeping: config.keep_calls.then(Keeping::default),
            config,
            rng: StdRng::from_seed(seed),
            sessions: Lookup::default(),
            away: BTreeSet::new(),
            users: Users::default(),
            calls: Calls::default(),
            rooms: Rooms::default(),
            pairs: Pairs::default(),
            kicks: Kicks::default(),
            ended: EndedCalls::default(),
            settling: BTreeMap::new(),
            timers: TimerQueue::default(),
            outbox: Outbox::default(),
            counters: Counters::default(),
            stopping: false,
        };
        if hub.keeping.is_some() {
            hub.calls.watch();
            hub.rooms.watch();
        }
        hub
    }

    /// Takes in one thing that has happened at `now`. Timers that are due by then run first. The
    /// outputs are to be taken out before the next input.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.handle_timeout(now);
        self.tell_presence();
        match input {
            Input::Open { session, identity, device, resume } => {
                self.open(now, session, *identity, device, resume);
            }
            Input::Request { session, id, event, data } => {
                self.request(now, session, id, &event, &data, None);
            }
            Input::Refresh { session, id, data, proof } => {
                let event = RequestName::AuthRefresh.as_str();
                self.request(now, session, id, event, &data, Some(*proof));
            }
            Input::Acknowledged { session, seq } => self.acknowledge(now, session, seq),
            Input::Lost { session } => self.lose_connection(now, session),
            Input::Closed { session } => self.lose_session(now, session),
            Input::Left { session } => self.depart(now, session),
            Input::RelayOpened { call, usage } => {
                self.update_meter(call, |meter| meter.opened(usage.clone()));
            }
            Input::RelayClosed { call, usage } => {
                self.update_meter(call, |meter| meter.closed(&usage));
            }
            Input::Held { call, hold } => self.held(now, call, hold),
            Input::RelayStopped => self.settle_all(),
            Input::Shutdown => self.shut_down(now),
        }
    }

    /// Whether calls wait for the next server: then nothing is due in this one.
    fn is_handing_over(&self) -> bool {
        self.stopping && self.config.keep_calls
    }

    /// Runs the timers that are due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.is_handing_over() {
            return;
        }
        while let Some(timer) = self.timers.pop(now.instant) {
            match timer {
                Timer::Token(session) => self.check_token(now, session),
                Timer::Away(session) => self.leave(now, session),
                Timer::Ring(call) => self.give_up(now, call, EndReason::Timeout),
                Timer::Grace(Member::Side(call, _)) => {
                    self.give_up(now, call, EndReason::ConnectionLost);
                }
                Timer::Grace(Member::Participant(call, participant)) => {
                    let leaving = Leaving::for_reason(EndReason::ConnectionLost);
                    self.leave_room(now, call, participant, &leaving);
                }
                Timer::Hold(lane) => self.release(now, lane),
                Timer::Credentials(call) => self.refresh_credentials(now, call),
                Timer::Transfer(call) => self.give_up_transfer(now, call),
                Timer::Asked(call) => self.held(now, call, false),
                Timer::Settle(call) => self.settle(call),
                Timer::ForgetEnded => {
                    self.ended.forget_until(now.instant);
                    if let Some(due) = self.ended.next_due() {
                        self.timers.set(due, Timer::ForgetEnded);
                    }
                }
            }
        }
    }

    /// Returns the time at which [`Hub::handle_timeout`] is to be called next; `None` if nothing is
    /// due at any time. It may change with each input.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.is_handing_over() {
            return None;
        }
        self.timers.next()
    }

    /// Takes out the next thing to be done. To be called after each input until it returns `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outbox.len() == 0 {
            self.tell_presence();
            self.keep_changes();
        }
        self.outbox.pop()
    }

    /// Returns every live call and every room, then those that are over and still shown, the oldest
    /// first.
    pub fn calls(&self, now: Now) -> impl Iterator<Item = CallRecord> {
        let live = self.calls.iter().map(move |call| call.record(now));
        let live = live.chain(self.rooms.iter().map(move |room| room.record(now)));
        live.chain(self.ended.iter().map(|call| call.record()))
    }

    /// Returns one call or room that is live or still shown.
    pub fn call(&self, now: Now, id: CallId) -> Option<CallRecord> {
        self.live_call(now, id).or_else(|| self.ended.get(id).map(|call| call.record()))
    }

    /// One that is not over.
    pub(super) fn live_call(&self, now: Now, id: CallId) -> Option<CallRecord> {
        let call = self.calls.get(id).map(|call| call.record(now));
        call.or_else(|| Some(self.rooms.get(id)?.record(now)))
    }

    /// This moment on the clock of a live call or room.
    pub(super) fn time_in(&self, now: Now, id: CallId) -> Option<Timestamp> {
        let call = self.calls.get(id).map(|call| &call.times);
        Some(call.or_else(|| Some(&self.rooms.get(id)?.times))?.at(now))
    }

    /// Returns every user who is connected, in the order of user ids.
    pub fn online_users(&self) -> impl Iterator<Item = OnlineUser> {
        self.users.sorted().into_iter().filter_map(|(id, user)| {
            let here = user.devices.iter().filter(|(_, session)| self.is_here(**session));
            let devices: Vec<_> = here.map(|(device, _)| device.clone()).collect();
            let name = || self.name_of(id);
            (!devices.is_empty()).then(|| OnlineUser { user_id: id.clone(), name: name(), devices })
        })
    }

    /// What to show for a user, as the token of one of the user's sessions has it.
    pub(super) fn name_of(&self, user: &UserId) -> Option<String> {
        let sessions = self.users.get(user)?.devices.values();
        sessions.filter_map(|session| self.sessions.get(session)?.name.clone()).next()
    }

    /// Makes relay credentials for the bearer of a token that are for no single call. The outputs
    /// are to be taken out afterwards.
    pub fn ice_servers(&mut self, now: Now, bearer: &Identity) -> RelayAccess {
        let token = TokenMark::of(bearer);
        self.readmit(now, &bearer.user, token);
        self.mint(now, &bearer.user, &bearer.grants, token, None)
    }

    /// Returns the numbers for metrics. Goes through the live calls once.
    pub fn stats(&self) -> Stats {
        let in_rooms = || self.rooms.iter().flat_map(|room| room.journals.values());
        let in_calls = || self.calls.iter().flat_map(|c| [&c.journals.caller, &c.journals.callee]);
        let journals = || in_calls().chain(in_rooms());
        let mut calls = self.calls.by_state().clone();
        calls.merge(self.rooms.by_state());
        Stats {
            sessions: self.sessions.len(),
            sessions_away: self.away.len(),
            unacknowledged_bytes: self.outbox.unacknowledged(),
            users: self.users.len(),
            calls,
            rooms: self.rooms.len(),
            room_participants: self.rooms.iter().map(|room| room.participants.len()).sum(),
            ended_calls: self.ended.len(),
            timers: self.timers.len(),
            watches: self.users.watches.len(),
            journal_candidates: journals().map(|journal| journal.len()).sum(),
            journal_bytes: journals().map(|journal| journal.bytes()).sum(),
            remembered_bytes: journals().map(|journal| journal.relayed_bytes()).sum(),
            counters: self.counters.clone(),
        }
    }
}
