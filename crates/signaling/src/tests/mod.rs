//! The hub, driven as a driver does it, with time moved by hand.

mod bad_input;
mod blocking;
mod calls;
mod candidates;
mod docs;
mod grants;
mod in_call;
mod kicks;
mod lost;
mod peer_addresses;
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
    collections::BTreeMap,
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

use super::{CallReport, CloseReason, Config, Hub, Input, Output, RequestId, Resume};
use crate::jwt::{Grants, Identity, TokenId};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// Returns the identity of a user with all rights and this expiry.
fn identity(name: &str, expires: u64) -> Identity {
    let (user, grants, token) = (user(name), Grants::default(), TokenId::default());
    Identity { user, name: None, expires, grants, token, issued: None }
}

/// A hub and its clients, which record the events that they receive.
struct World {
    hub: Hub,
    now: Now,
    rng: StdRng,
    requests: u64,
    /// The events that each session has received since the last query: names with payloads.
    received: BTreeMap<SessionId, Vec<(String, Value)>>,
    closed: BTreeMap<SessionId, CloseReason>,
    /// Connections that go on with an earlier session.
    resumed: BTreeMap<SessionId, SessionId>,
    /// The number of the last event that had one.
    last_seq: Option<u64>,
    ended: Vec<CallId>,
    /// The users who joined and left rooms, as they are reported to the relay.
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
            received: BTreeMap::new(),
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
                    self.received.entry(session).or_default().push(("welcome".into(), data));
                }
                Output::Send { session, seq, event } => {
                    let data = event.data.value();
                    schemas::check_event(event.name, &data);
                    assert!(self.hub.session(session).is_none_or(|session| session.is_here()));
                    self.last_seq = seq.or(self.last_seq);
                    let received = self.received.entry(session).or_default();
                    received.push((event.name.to_owned(), data));
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
        self.hub.check_invariants(self.now);
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

    /// Sends a request that must succeed, and gives its answer.
    fn ok(&mut self, session: SessionId, event: &str, data: Value) -> Value {
        let answer = self.ask(session, event, data);
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer
    }

    /// Sends a request that must be refused with this code.
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

    /// Connects a call between two sessions, and drops the events received meanwhile.
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

    /// Returns the events that the session received since the last time, without the states of calls.
    fn received(&mut self, session: SessionId) -> Vec<(String, Value)> {
        let mut received = self.received.remove(&session).unwrap_or_default();
        let shows = ["call:state", "welcome", "call:sync"];
        received.retain(|(name, _)| !shows.contains(&name.as_str()));
        received
    }

    fn names(&mut self, session: SessionId) -> Vec<String> {
        self.received(session).into_iter().map(|(name, _)| name).collect()
    }

    /// Returns the states that the session received since the last time.
    fn states(&mut self, session: SessionId) -> Vec<String> {
        let received = self.received.remove(&session).unwrap_or_default().into_iter();
        received
            .filter(|(name, _)| name == "call:state")
            .map(|(_, data)| data["call"]["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Returns the reasons of the `call:ended`s that the session received since the last time.
    fn reasons(&mut self, session: SessionId) -> Vec<String> {
        let received = self.received(session).into_iter();
        received
            .filter(|(name, _)| name == "call:ended")
            .map(|(_, data)| data["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Drops the events received so far.
    fn forget(&mut self) {
        self.received.clear();
    }

    /// Nothing is left of anything once every session is gone and time has gone by.
    fn assert_nothing_is_left(&mut self) {
        let sessions: Vec<_> = self.hub.sessions().map(|session| session.session_id).collect();
        sessions.into_iter().for_each(|session| self.close(session));
        let longest = self.hub.config().ring_timeout + self.hub.config().reconnect_grace;
        self.pass(longest + self.hub.config().ended_calls_for);
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
