//! The hub: takes inputs, keeps its parts and their timers, gives outputs.
//!
//! Each part owns its state and knows nothing of the others. What takes several parts is a function
//! of the hub, in a file of its subject below this one.

mod blocking;
mod call_accept;
mod call_end;
mod changed_calls;
mod credentials;
mod departure;
mod disconnect;
mod finalize;
mod glare;
mod kick;
mod limits;
mod media;
mod members;
mod presence;
mod push_wait;
mod reconnect_grace;
mod rejoin;
mod relaying;
mod replaceable_calls;
mod reporting;
mod requests;
mod restoring;
mod ringing;
mod room_join;
mod room_leave;
mod session_close;
mod session_open;
mod shutdown;
mod timeouts;
mod tokens;
mod transfer;
mod views;

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod test_access;

use std::time::Instant;

use callbox_base::{
    clock::{Now, TimerQueue},
    entries::Entries,
    ids::{CallId, DeviceId, SessionId, UserId},
};
use rand::{SeedableRng, rngs::StdRng};

pub use kick::Kicked;
pub use push_wait::ASK_FOR;
pub use requests::AuthRefreshRequest;
pub(super) use requests::{
    CallEndRequest, CallInitiateRequest, CallMessageRequest, CallRequest, CallStatsRequest,
    CallTransferRequest, CallUpgradeRequest, IceCandidateRequest, MediaUpdateRequest,
    PresenceSubscribeRequest, RoomJoinRequest, RoomLeaveRequest, SignalRequest, UserBlockRequest,
};
pub use restoring::{PreviousStop, Restored};
pub use views::{OnlineUser, SessionRecord};

use super::{
    CallRecord, Config, Counters, EndReason, Input, Output, RelayAccess, RequestName, Stats,
    call::Calls,
    ended_calls::EndedCalls,
    kicks::{Kicks, TokenMark},
    outbox::Outbox,
    pair_rates::Pairs,
    persistence::Persistence,
    rooms::Rooms,
    sessions::Sessions,
    settling::Settling,
    timer::Timer,
    users::Users,
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
    config: Config,
    /// The source of the ids of calls and participants.
    rng: StdRng,
    sessions: Sessions,
    users: Users,
    calls: Calls,
    rooms: Rooms,
    pairs: Pairs,
    kicks: Kicks,
    ended: EndedCalls,
    settling: Settling,
    timers: TimerQueue<Timer>,
    outbox: Outbox,
    counters: Counters,
    /// The state of calls that is kept for the next server, if [`Config::keep_calls`] is set.
    persistence: Option<Persistence>,
    /// True once the server stops: no session is opened any more.
    stopping: bool,
}

impl Hub {
    /// Makes a hub with nobody in it. `seed` must be unguessable: the ids of calls come from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut hub = Self {
            persistence: config.keep_calls.then(Persistence::default),
            config,
            rng: StdRng::from_seed(seed),
            sessions: Sessions::default(),
            users: Users::default(),
            calls: Calls::default(),
            rooms: Rooms::default(),
            pairs: Pairs::default(),
            kicks: Kicks::default(),
            ended: EndedCalls::default(),
            settling: Settling::default(),
            timers: TimerQueue::default(),
            outbox: Outbox::default(),
            counters: Counters::default(),
            stopping: false,
        };
        if hub.persistence.is_some() {
            hub.calls.watch();
            hub.rooms.watch();
        }
        hub
    }

    /// Takes in one thing that has happened at `now`. Timers that are due by then run first. The
    /// outputs are to be taken out before the next input.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.handle_timeout(now);
        presence::publish(self);
        match input {
            Input::Open { session, identity, device, resume } => {
                session_open::open(self, now, session, *identity, device, resume);
            }
            Input::Request { session, id, event, data } => {
                requests::receive(self, now, session, id, &event, &data, None);
            }
            Input::Refresh { session, id, data, proof } => {
                let event = RequestName::AuthRefresh.as_str();
                requests::receive(self, now, session, id, event, &data, Some(*proof));
            }
            Input::Acknowledged { session, seq } => {
                session_close::acknowledge(self, now, session, seq);
            }
            Input::Lost { session } => session_close::lose_connection(self, now, session),
            Input::Closed { session } => session_close::lose(self, now, session),
            Input::Left { session } => departure::depart(self, now, session),
            Input::RelayOpened { call, usage } => {
                reporting::update_meter(self, call, |meter| meter.opened(usage.clone()));
            }
            Input::RelayClosed { call, usage } => {
                reporting::update_meter(self, call, |meter| meter.closed(&usage));
            }
            Input::HoldDecision { call, hold } => push_wait::decide(self, now, call, hold),
            Input::RelayStopped => reporting::settle_all(self),
            Input::Shutdown => shutdown::shut_down(self, now),
        }
    }

    /// Runs the timers that are due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        if !self.is_handing_over() {
            timeouts::run_due(self, now);
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
            presence::publish(self);
            changed_calls::emit_changes(self);
        }
        self.outbox.pop()
    }

    /// Returns every live call and every room, then those that are over and still shown, the oldest
    /// first.
    pub fn calls(&self, now: Now) -> impl Iterator<Item = CallRecord> {
        views::records(self, now)
    }

    /// Returns one call or room that is live or still shown.
    pub fn call(&self, now: Now, id: CallId) -> Option<CallRecord> {
        views::record(self, now, id)
    }

    /// Returns every session, in the order of ids, which is that of age.
    pub fn sessions(&self) -> impl Iterator<Item = SessionRecord> {
        views::sessions(self)
    }

    /// Returns the user of a session.
    pub fn user_of(&self, session: SessionId) -> Option<&UserId> {
        self.sessions.get(session).map(|session| session.user())
    }

    /// Returns every user who is connected, in the order of user ids.
    pub fn online_users(&self) -> impl Iterator<Item = OnlineUser> {
        views::online_users(self)
    }

    /// Returns the numbers for metrics. Goes through the live calls once.
    pub fn stats(&self) -> Stats {
        views::stats(self)
    }

    /// Ends a live call with the reason `kicked`. Returns the call, also one that was over already;
    /// `None` if there is none.
    pub fn hang_up(&mut self, now: Now, id: CallId) -> Option<CallRecord> {
        call_end::end(self, now, id, EndReason::Kicked);
        self.call(now, id)
    }

    /// Closes the sessions of a user, or of one of the user's devices, and ends the calls that they
    /// are in with the reason `kicked`; a room they leave. With a token that is still good the user
    /// may come back, but gets no credentials for the relay before
    /// [`Config::kick_ttl`](crate::Config::kick_ttl) is over.
    ///
    /// The relay is not the hub's: the caller tells it, as with `Common::kick` of `callbox-turn`.
    pub fn kick(&mut self, now: Now, user: &UserId, device: Option<&DeviceId>) -> Kicked {
        kick::kick(self, now, user, device)
    }

    /// Makes relay credentials for the bearer of a token that are for no single call. The outputs
    /// are to be taken out afterwards.
    pub fn ice_servers(&mut self, now: Now, bearer: &Identity) -> RelayAccess {
        let token = TokenMark::of(bearer);
        credentials::readmit(self, now, &bearer.user, token);
        credentials::mint(self, now, &bearer.user, &bearer.grants, token, None)
    }

    /// Sets the STUN and TURN URIs that clients are told from now on.
    pub fn set_ice_uris(&mut self, stun: Vec<String>, turn: Vec<String>) {
        self.config.stun_uris = stun;
        self.config.turn_uris = turn;
    }

    /// Goes on with the calls of the hub before this one, whose changes
    /// [`Output::Keep`] gave and which the driver has collected in `entries`.
    /// Each side is waited for as if it had just lost its connection. Calls past the limit of live
    /// calls, and those that cannot go on, are over; a report is put out for each. To be called
    /// before any input.
    pub fn restore(&mut self, now: Now, entries: &Entries, stopped: PreviousStop) -> Restored {
        restoring::restore(self, now, entries, stopped)
    }

    /// Looks at the calls that have allocations, for [`Output::Keep`]: their numbers change with no
    /// input. To be called now and then, with [`Config::keep_calls`](crate::Config::keep_calls).
    pub fn keep_relayed(&mut self) {
        changed_calls::note_relayed(self);
    }

    /// Ends the live calls with this hub after all, since they cannot be kept. To be called after
    /// [`Input::Shutdown`].
    pub fn give_up_calls(&mut self, now: Now) {
        shutdown::give_up_calls(self, now);
    }

    /// Returns true if there is a live call or a room.
    pub fn has_live_calls(&self) -> bool {
        self.calls.len() + self.rooms.len() > 0
    }

    /// Returns the number of live calls to go on with.
    pub fn kept_calls(&self) -> usize {
        self.calls.len()
    }

    /// Returns true if calls wait for the next server: then nothing is due in this one.
    fn is_handing_over(&self) -> bool {
        self.stopping && self.config.keep_calls
    }
}
