//! The hub, driven as a shell drives it, with time moved by hand.

mod announced;
mod bad_input;
mod blocking;
mod calls;
mod candidates;
mod docs;
mod grants;
mod in_call;
mod kicks;
mod lost;
mod presence;
mod push_wait;
mod reports;
mod restart;
mod resume;
mod returning;
mod ringing;
mod rooms;
mod schemas;
mod seed;
mod sessions;
mod sim;
mod times;
mod tokens;
mod transfer;
mod views;

#[path = "../../../../tests/it/common/json_schema.rs"]
mod json_schema;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    entries::Change,
    ids::{CallId, DeviceId, SessionId, UserId},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    CallReport, CallState, CloseReason, Config, Hub, Input, Output, RequestId, Resume,
    call::{Place, Role},
    presence::MAX_WATCHED,
};
use crate::jwt::{Grants, Identity, TokenId};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// Who may do everything until then.
fn identity(name: &str, expires: u64) -> Identity {
    let (user, grants, token) = (user(name), Grants::default(), TokenId::default());
    Identity { user, name: None, expires, grants, token, issued: None }
}

/// A hub with clients around it that remember what they heard.
struct World {
    hub: Hub,
    now: Now,
    rng: StdRng,
    requests: u64,
    /// What a session heard since it was last asked: event names with payloads.
    heard: BTreeMap<SessionId, Vec<(String, Value)>>,
    closed: BTreeMap<SessionId, CloseReason>,
    /// Connections that go on with an earlier session.
    resumed: BTreeMap<SessionId, SessionId>,
    /// The number of the last event that had one.
    last_seq: Option<u64>,
    ended: Vec<CallId>,
    /// Who came into a room or went out of it, as the relay hears it.
    moved: Vec<(CallId, UserId, &'static str)>,
    /// The kicked users whose credentials the relay takes again.
    readmitted: Vec<UserId>,
    announced: Vec<(CallId, UserId, Vec<IpAddr>)>,
    reports: Vec<CallReport>,
    /// The calls about which it was asked whether to hold them.
    asked: Vec<CallId>,
    /// The entries for the next server.
    kept: BTreeMap<String, String>,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            turn_secrets: TurnSecrets::new(&[Secret::new("north")]),
            stun_uris: vec!["stun:192.0.2.1:3478".into()],
            turn_uris: vec!["turn:192.0.2.1:3478?transport=udp".into()],
            ..Config::default()
        };
        change(&mut config);
        Self {
            hub: Hub::new(config, [7; 32]),
            now: Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) },
            rng: StdRng::seed_from_u64(7),
            requests: 0,
            heard: BTreeMap::new(),
            closed: BTreeMap::new(),
            resumed: BTreeMap::new(),
            last_seq: None,
            ended: Vec::new(),
            moved: Vec::new(),
            readmitted: Vec::new(),
            announced: Vec::new(),
            reports: Vec::new(),
            asked: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    /// A world in which alice and bob are connected, each with one device.
    fn with_alice_and_bob() -> (Self, SessionId, SessionId) {
        let mut world = Self::new(|_| {});
        let alice = world.open("alice", "laptop");
        let bob = world.open("bob", "phone");
        (world, alice, bob)
    }

    fn input(&mut self, input: Input) -> Option<Value> {
        self.hub.handle(self.now, input);
        self.drain()
    }

    /// Takes in all outputs; gives the answer, if one is among them.
    fn drain(&mut self) -> Option<Value> {
        let mut answered = None;
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Welcome { session, data } => {
                    let data = data.value();
                    schemas::check_welcome(&data);
                    self.heard.entry(session).or_default().push(("welcome".into(), data));
                }
                Output::Send { session, seq, event } => {
                    let data = event.data.value();
                    schemas::check_event(event.name, &data);
                    assert!(self.hub.sessions.get(&session).is_none_or(|s| s.away_until.is_none()));
                    self.last_seq = seq.or(self.last_seq);
                    let heard = self.heard.entry(session).or_default();
                    heard.push((event.name.to_owned(), data));
                }
                Output::Resumed { connection, session } => {
                    assert!(self.resumed.insert(connection, session).is_none());
                }
                Output::Answer { answer, .. } => {
                    assert!(answered.replace(answer.0.value()).is_none());
                }
                Output::Close { session, reason } => {
                    assert!(self.closed.insert(session, reason).is_none());
                }
                Output::PeersAnnounced { call, by, addresses, .. } => {
                    self.announced.push((call, by, addresses));
                }
                Output::CallEnded { call } => self.ended.push(call),
                Output::ReadmitUser { call, user } => self.moved.push((call, user, "in")),
                Output::RevokeUser { call, user } => self.moved.push((call, user, "out")),
                Output::LiftKick { user } => self.readmitted.push(user),
                Output::Report(report) => self.reports.push(*report),
                Output::AskToHold(report) => self.asked.push(report.call.id),
                Output::Keep(change) => keep(&mut self.kept, change),
            }
        }
        check(&self.hub, self.now);
        answered
    }

    fn open_until(&mut self, name: &str, device: &str, expires: u64) -> SessionId {
        self.connect(name, device, expires, Resume::New)
    }

    fn connect(&mut self, name: &str, device: &str, expires: u64, resume: Resume) -> SessionId {
        let session = SessionId::generate(self.now.unix_ms(), &mut self.rng);
        let identity = identity(name, expires);
        let device = Some(DeviceId::new(device).unwrap());
        self.input(Input::Open { session, identity: identity.into(), device, resume });
        session
    }

    fn open(&mut self, name: &str, device: &str) -> SessionId {
        self.open_until(name, device, self.now.unix_secs() + 86_400)
    }

    fn close(&mut self, session: SessionId) {
        self.input(Input::Closed { session });
    }

    /// Sends a request and gives its answer.
    fn ask(&mut self, session: SessionId, event: &str, data: Value) -> Value {
        self.requests += 1;
        let id = Some(RequestId(self.requests));
        let answer =
            self.input(Input::Request { session, id, event: event.into(), data: data.into() });
        let answer = answer.expect("a request with an id is answered");
        schemas::check_answer(event, &answer);
        answer
    }

    /// The same, and it must go well.
    fn ok(&mut self, session: SessionId, event: &str, data: Value) -> Value {
        let answer = self.ask(session, event, data);
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer
    }

    /// The same, and it must be refused with this code.
    fn refused(&mut self, session: SessionId, event: &str, data: Value, code: &str) {
        let answer = self.ask(session, event, data);
        assert_eq!(answer["ok"], false, "{event}: {answer}");
        assert_eq!(answer["error"]["code"], code, "{event}: {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|m| !m.is_empty()));
    }

    /// Sends an event that wants no answer, as `socket.emit` without a callback does.
    fn emit(&mut self, session: SessionId, event: &str, data: Value) {
        let answer = self.input(Input::Request {
            session,
            id: None,
            event: event.into(),
            data: data.into(),
        });
        assert_eq!(answer, None);
    }

    /// alice calls `target` by video; gives the call's id.
    fn call(&mut self, session: SessionId, target: &str) -> CallId {
        let data = json!({ "targetUserId": target, "callType": "video" });
        let answer = self.ok(session, "call:initiate", data);
        serde_json::from_value(answer["callId"].clone()).unwrap()
    }

    /// Connects a call between two sessions, and forgets what was heard on the way.
    fn connected_call(&mut self, alice: SessionId, bob: SessionId) {
        self.call(alice, "bob");
        self.ok(bob, "call:accept", json!({}));
        self.ok(alice, "signal:offer", sdp("a"));
        self.ok(bob, "signal:answer", sdp("b"));
        self.forget();
    }

    /// Lets time go by; timers fire at their times.
    fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(due) = self.hub.next_timeout().filter(|due| *due <= end.instant) {
            // A timer that was due before now fires now.
            self.now = self.now + due.saturating_duration_since(self.now.instant);
            self.hub.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// What the session heard since the last time, without the shows of the call's state.
    fn heard(&mut self, session: SessionId) -> Vec<(String, Value)> {
        let mut heard = self.heard.remove(&session).unwrap_or_default();
        let shows = ["call:state", "welcome", "call:sync"];
        heard.retain(|(name, _)| !shows.contains(&name.as_str()));
        heard
    }

    fn names(&mut self, session: SessionId) -> Vec<String> {
        self.heard(session).into_iter().map(|(name, _)| name).collect()
    }

    /// The states that the session was shown since the last time.
    fn states(&mut self, session: SessionId) -> Vec<String> {
        let heard = self.heard.remove(&session).unwrap_or_default().into_iter();
        heard
            .filter(|(name, _)| name == "call:state")
            .map(|(_, data)| data["call"]["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The reasons of the `call:ended`s that the session heard since the last time.
    fn reasons(&mut self, session: SessionId) -> Vec<String> {
        let heard = self.heard(session).into_iter();
        heard
            .filter(|(name, _)| name == "call:ended")
            .map(|(_, data)| data["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Forgets what was heard so far.
    fn forget(&mut self) {
        self.heard.clear();
    }

    /// Nothing is left of anything once every session is gone and time has gone by.
    fn assert_nothing_is_left(&mut self) {
        let mut sessions: Vec<_> = self.hub.sessions.keys().copied().collect();
        sessions.sort_unstable();
        sessions.into_iter().for_each(|session| self.close(session));
        let longest = self.hub.config.ring_timeout + self.hub.config.reconnect_grace;
        self.pass(longest + self.hub.config.ended_calls_for);
        let stats = self.hub.stats();
        let expected = super::Stats { counters: stats.counters.clone(), ..Default::default() };
        assert_eq!(stats, expected);
        assert_eq!(self.hub.next_timeout(), None);
        assert_eq!(self.kept, BTreeMap::new());
    }
}

/// Keeps a change as the log of calls does.
fn keep(kept: &mut BTreeMap<String, String>, change: Change) {
    match change.value {
        Some(value) => drop(kept.insert(change.key, value)),
        None => assert!(kept.remove(&change.key).is_some(), "{} was not kept", change.key),
    }
}

fn candidate(n: u32) -> Value {
    json!({ "candidate": { "candidate": format!("candidate:{n} 1 udp 1 192.0.2.9 9 typ host") } })
}

fn sdp(ufrag: &str) -> Value {
    json!({ "sdp": format!("v=0\r\na=ice-ufrag:{ufrag}\r\n") })
}

/// What holds for a hub at any time, as far as its tables and timers go.
fn check(hub: &Hub, now: Now) {
    let config = &hub.config;
    assert!(hub.sessions.len() <= config.max_sessions);
    let away = hub.sessions.iter().filter_map(|(id, s)| Some((s.away_until?, *id)));
    assert_eq!(away.collect::<BTreeSet<_>>(), hub.away);
    assert!(hub.calls.len() + hub.rooms.len() <= config.max_calls);
    assert!(hub.ended.len() <= config.ended_calls);
    let unanswered = hub.ended.iter().filter(|call| call.record().started_at.is_none()).count();
    assert!(unanswered <= config.ended_calls / 4);
    assert_eq!(hub.outbox.len(), 0);
    assert!(hub.next_timeout().is_none_or(|due| due >= now.instant) || hub.stopping);

    let mut devices = 0;
    for (id, user) in hub.users.sorted() {
        assert!(!user.devices.is_empty() || !user.calls.is_empty(), "{id} is an empty entry");
        assert!(user.devices.len() <= config.max_sessions_per_user);
        assert!(hub.own_calls(id) <= config.max_calls_per_user);
        let mut callers = BTreeMap::new();
        for call in hub.ringing_at(id) {
            *callers.entry(&call.parties.caller.user).or_insert(0) += 1;
        }
        assert!(callers.values().sum::<usize>() <= config.max_ringing_per_user);
        assert!(callers.values().all(|count| *count <= config.max_ringing_per_pair));
        let blocked = callers.keys().find(|caller| hub.is_blocked(caller, id));
        assert_eq!(blocked, None, "somebody rings at {id} who is blocked");
        devices += user.devices.len();
        for (device, session) in &user.devices {
            let session = &hub.sessions[session];
            assert_eq!((&session.user, &session.device), (id, device));
        }
        for call in &user.calls {
            let is_side = hub.calls.get(*call).is_some_and(|call| call.role_of(id).is_some());
            assert!(is_side || hub.rooms.get(*call).is_some_and(|room| room.has(id)));
        }
    }
    assert_eq!(devices, hub.sessions.len());

    let mut watched_by = BTreeMap::new();
    for (session, list) in hub.users.watches.lists() {
        let grants = &hub.sessions[&session].grants;
        assert!(!list.is_empty() && list.len() <= MAX_WATCHED);
        for user in list {
            assert!(grants.may_see(user), "{user} is seen by somebody who may not");
            watched_by.entry(user).or_insert_with(BTreeSet::new).insert(session);
        }
    }
    for (user, known, by) in hub.users.watches.known() {
        assert_eq!(known, hub.presence_of(user), "{user} changed, and nobody was told");
        assert_eq!(watched_by.remove(user).as_ref(), Some(by));
    }
    assert_eq!(watched_by.len(), 0);

    let mut timers = hub.sessions.len() + hub.away.len() + usize::from(hub.ended.len() > 0);
    timers += hub.settling.len() + rooms::check(hub);
    assert!(hub.settling.values().all(|(_, call)| !call.relay.is_final()));
    let mut in_state = super::EnumCounts::default();
    for call in hub.calls.iter() {
        in_state.add(call.state());
        let accepted = call.state().is_accepted();
        timers += usize::from(!accepted) + usize::from(call.fresh_at.is_some());
        assert!(accepted || call.fresh_at.is_none());
        timers += usize::from(call.asked_until.is_some());
        timers += usize::from(call.transfer.is_some());
        if let Some(transfer) = &call.transfer {
            assert!(accepted, "nobody has accepted what is handed on");
            let session = &hub.sessions[&transfer.ringing.session];
            let party = &call.parties[transfer.role];
            assert_eq!((&session.user, &session.device), (&party.user, &transfer.device));
            assert_ne!(party.device.as_ref(), Some(&transfer.device));
        }
        assert!(!call.moved || call.state() == CallState::Reconnecting);
        let reaches_nobody = call.state() == CallState::Initiating && call.ringing.is_empty();
        assert!(call.asked_until.is_none() || reaches_nobody);
        assert!(!call.state().is_over());
        assert_eq!(accepted, call.parties.callee.device.is_some());
        assert!(!accepted || call.ringing.is_empty());
        assert!(call.ringing.len() <= config.max_sessions_per_user);
        for member in call.members() {
            let session = &hub.sessions[&member];
            assert!(call.role_of(&session.user).is_some(), "a member who is not in the call");
            if let Some(Place::Party(role)) = call.place_of(member) {
                assert_eq!(call.parties[role].device.as_ref(), Some(&session.device));
            }
        }
        for role in [Role::Caller, Role::Callee] {
            let (party, journal) = (&call.parties[role], &call.journals[role]);
            assert!(hub.users.get(&party.user).unwrap().calls.contains(&call.id));
            if party.device.is_some() {
                let is_here = party.session.is_some_and(|session| hub.is_here(session));
                assert_eq!(!is_here, party.grace_until.is_some());
            }
            assert!(journal.len() <= config.journal_candidates);
            assert!(journal.bytes() <= 3 * config.journal_bytes);
            // Whatever is kept waits for somebody, or for a moment only.
            let other = &call.parties[role.other()];
            assert!(
                journal.bytes() == 0 || other.session.is_none() || journal.hold_until.is_some()
            );
            timers += usize::from(party.grace_until.is_some());
            timers += usize::from(journal.hold_until.is_some());
        }
    }
    assert_eq!(hub.calls.by_state(), &in_state);
    assert_eq!(hub.timers.len(), timers);
}
