//! A simulation: random users do random things at random times, and an observer who sees only what
//! goes in and out checks that nobody hears what is not theirs and that nothing is left behind.
//!
//! Each run is one seed. `CALLBOX_SIM_SEED=n` runs that one alone, `CALLBOX_SIM_RUNS=n` so many.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{check, ms, schemas, user};
use crate::{
    auth::{Grants, Identity, Secret, TurnSecrets},
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
    signaling::{
        CallEvent, CallReport, CloseReason, Config, EndReason, ErrorCode, Hub, Input, Output,
        RequestError, RequestId, RequestName, Resume, Timestamp, Word, answered::MessageId,
    },
    usage::Usage,
};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DEVICES: [&str; 3] = ["laptop", "phone", "tablet"];
const STEPS: usize = 300;

/// Where somebody sits: which device of which user.
type Seat = (UserId, DeviceId);

/// What the observer knows of a call.
struct Watched {
    caller: Seat,
    callee: UserId,
    /// The device that was told that its accept won.
    winner: Option<Seat>,
    /// The sessions that know of the call, and why it is over for them once they were told.
    audience: BTreeMap<SessionId, Option<String>>,
    ended: bool,
    /// The users who made an offer.
    offered: BTreeSet<UserId>,
    /// By sender: the numbers of the candidates that went to the other side.
    relayed: BTreeSet<u64>,
    /// The addresses that the relay was told of, each with whose it is.
    announced: BTreeSet<(UserId, IpAddr)>,
}

/// How far a client is with the events of its session.
#[derive(Debug, Clone, Copy, Default)]
struct Reader {
    /// The last that it has.
    has: u64,
    /// The last that was ever seen on its way to it: it may be lost with the connection.
    seen: u64,
    /// The last that it has said it has.
    said: u64,
}

/// A token that a session has.
#[derive(Debug, Clone)]
struct Held {
    expires: u64,
    /// The session was told that this is near.
    told: bool,
    grants: Grants,
}

impl Held {
    fn new(expires: u64, grants: Grants) -> Self {
        Self { expires, told: false, grants }
    }
}

struct Sim {
    seed: u64,
    hub: Hub,
    rng: StdRng,
    now: Now,
    number: u64,
    sessions: BTreeMap<SessionId, Seat>,
    /// Those of them that have lost their connection.
    away: BTreeSet<SessionId>,
    /// What the client of each session has of it, if it can be resumed.
    readers: BTreeMap<SessionId, Reader>,
    /// Up to which event the client says that it has everything, when it comes back.
    claim: u64,
    /// Requests that their senders have named, and what they were answered with.
    named: Vec<(Seat, String, Value, Value)>,
    /// What each request that is made again is to be answered with.
    expected: BTreeMap<RequestId, Value>,
    calls: BTreeMap<CallId, Watched>,
    /// The last report of each call.
    reports: BTreeMap<CallId, CallReport>,
    /// The token that each `auth:refresh` brings.
    brought: BTreeMap<RequestId, Held>,
    /// The token of each session.
    tokens: BTreeMap<SessionId, Held>,
    /// The calls about which it was asked whether to hold them, and not answered.
    asked_to_hold: Vec<CallId>,
    /// The event and the sender of each request that is not yet answered.
    asked: BTreeMap<RequestId, (String, SessionId, Value)>,
    allocations: Vec<(CallId, Arc<Usage>)>,
    candidates_taken: u64,
    resumed: u64,
    repeated: u64,
    crossed: u64,
    warned: u64,
    refreshed: u64,
    expired: u64,
    log: Vec<String>,
}

/// Says which seed it was and what went before, when a run fails.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.log.len().saturating_sub(30);
            eprintln!(
                "{}\nthe simulation failed: CALLBOX_SIM_SEED={}",
                self.log[from..].join("\n"),
                self.seed
            );
        }
    }
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let config = Config {
            ring_timeout: ms(5000),
            candidate_hold: *[ms(0), ms(300)].choose(&mut rng).unwrap(),
            reconnect_grace: ms(3000),
            resume_window: *[ms(0), ms(1000), ms(3000), ms(9000)].choose(&mut rng).unwrap(),
            token_warning: *[ms(0), ms(10_000), ms(60_000)].choose(&mut rng).unwrap(),
            max_calls_per_user: rng.random_range(1..=3),
            max_calls: rng.random_range(1..=4),
            max_sessions: rng.random_range(4..=12),
            max_sessions_per_user: rng.random_range(1..=3),
            events_per_second: *[0, 0, 5, 50].choose(&mut rng).unwrap(),
            event_burst: rng.random_range(1..=10),
            journal_candidates: rng.random_range(0..=8),
            journal_bytes: rng.random_range(0..=2000),
            calls_per_minute: *[0, 0, 6, 60].choose(&mut rng).unwrap(),
            call_burst: rng.random_range(1..=10),
            ended_calls: rng.random_range(0..=12),
            ended_calls_for: ms(8000),
            announce_peers: true,
            report_calls: true,
            turn_secrets: TurnSecrets::new(&[Secret::new("north")]),
            ask_to_hold: rng.random_bool(0.5),
            ..Config::default()
        };
        Self {
            seed,
            hub: Hub::new(config, rng.random()),
            rng,
            now: Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) },
            number: 0,
            sessions: BTreeMap::new(),
            away: BTreeSet::new(),
            readers: BTreeMap::new(),
            claim: 0,
            named: Vec::new(),
            expected: BTreeMap::new(),
            calls: BTreeMap::new(),
            reports: BTreeMap::new(),
            brought: BTreeMap::new(),
            tokens: BTreeMap::new(),
            asked_to_hold: Vec::new(),
            asked: BTreeMap::new(),
            allocations: Vec::new(),
            candidates_taken: 0,
            resumed: 0,
            repeated: 0,
            crossed: 0,
            warned: 0,
            refreshed: 0,
            expired: 0,
            log: Vec::new(),
        }
    }

    fn run(&mut self) {
        for _ in 0..6 {
            self.open();
        }
        for _ in 0..STEPS {
            self.step();
            self.pass();
        }
        if self.rng.random_bool(0.5) {
            // In the middle of something.
            for _ in 0..20 {
                self.request();
            }
            self.input(Input::Shutdown);
            assert!(
                self.sessions.is_empty() && self.away.is_empty(),
                "a session outlived the server"
            );
            assert!(self.calls.values().all(|call| call.ended), "a call outlived the server");
        }
        while let Some(&session) = self.sessions.keys().next() {
            self.close_session(session);
        }
        for _ in 0..100 {
            self.advance(ms(1000));
        }
        for call in self.calls.values() {
            assert!(call.ended, "a call was left over");
        }
        let mut last = self.reports.values().map(|report| report.event);
        assert!(last.all(|event| event == CallEvent::Ended), "an end was not reported");
        assert_eq!(self.reports.len(), self.calls.len());
        let stats = self.hub.stats();
        let counters = stats.counters.clone();
        assert_eq!(counters.calls_started, counters.calls_ended.total());
        assert_eq!(stats, crate::signaling::Stats { counters, ..Default::default() });
        assert_eq!(self.hub.next_timeout(), None);
    }

    /// Somebody does something.
    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..6 => self.open(),
            6..8 => self.close(),
            8..11 => self.lose(),
            14 => self.acknowledge(),
            15..19 => self.again(),
            19..22 => self.refresh(),
            11..13 => self.relay_opened(),
            13 => self.relay_closed(),
            22..25 => self.answer_hold(),
            _ => self.request(),
        }
    }

    fn open(&mut self) {
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
        // What is due by now still goes to the connection that there was.
        self.advance(ms(0));
        // Somebody who was there before may go on with that, or say so wrongly.
        let seat = (name.clone(), device.clone());
        let known = self.readers.iter().filter(|(id, _)| self.sessions.get(id) == Some(&seat));
        let known = known.map(|(id, reader)| (*id, reader.has)).next_back();
        let resume = match (known, self.rng.random_range(0..10)) {
            (_, 0) => Resume::Never,
            (Some((session, seq)), 1..8) => Resume::From { session, seq },
            (Some((session, _)), 8) => {
                // What was never sent.
                let seq = self.hub.outbox.last_seq(session) + 1;
                Resume::From { session, seq }
            }
            _ => Resume::New,
        };
        if let Resume::From { seq, .. } = resume {
            self.claim = seq;
        }
        self.sessions.insert(session, seat);
        let grants = self.any_grants();
        self.tokens.insert(session, Held::new(expires, grants.clone()));
        if resume != Resume::Never {
            self.readers.insert(session, Reader::default());
        }
        let (identity, device) =
            (Identity { user: name, name: None, expires, grants }, Some(device));
        self.input(Input::Open { session, identity, device, resume });
    }

    /// What a token lets its bearer do, mostly everything.
    fn any_grants(&mut self) -> Grants {
        let lists: [&[&str]; 3] = [&[], &["alice", "bob"], &["*a*"]];
        let call = lists.choose(&mut self.rng).unwrap();
        let call = call.iter().map(|pattern| (*pattern).to_owned()).collect();
        Grants {
            call: self.rng.random_bool(0.1).then_some(call),
            max_calls: self.rng.random_bool(0.1).then(|| self.rng.random_range(0..=3)),
            relay: self.rng.random_bool(0.8),
        }
    }

    /// Somebody says whether a call that reaches nobody is to wait.
    fn answer_hold(&mut self) {
        let Some(call) = self.asked_to_hold.pop() else { return };
        let hold = self.rng.random_bool(0.7);
        self.input(Input::Held { call, hold });
    }

    /// A connection breaks.
    fn lose(&mut self) {
        let Some(session) = self.any_session() else { return };
        self.advance(ms(0));
        if !self.sessions.contains_key(&session) {
            return;
        }
        // What was on its way last may not have arrived.
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

    fn acknowledge(&mut self) {
        let all: Vec<_> = self.readers.keys().copied().filter(|id| self.is_here(*id)).collect();
        let Some(&session) = all.choose(&mut self.rng) else { return };
        let Some(reader) = self.readers.get_mut(&session) else { return };
        let seq = self.rng.random_range(reader.said..=reader.has);
        reader.said = seq;
        self.input(Input::Acknowledged { session, seq });
    }

    fn is_here(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session) && !self.away.contains(&session)
    }

    fn any_session(&mut self) -> Option<SessionId> {
        let all: Vec<_> = self.sessions.keys().copied().filter(|id| self.is_here(*id)).collect();
        all.choose(&mut self.rng).copied()
    }

    fn any_call(&mut self) -> Option<CallId> {
        // The latest ones, most of which live.
        let all: Vec<_> = self.calls.keys().rev().take(4).copied().collect();
        all.choose(&mut self.rng).copied()
    }

    fn close(&mut self) {
        let Some(session) = self.any_session() else { return };
        self.close_session(session);
    }

    fn close_session(&mut self, session: SessionId) {
        // What is due by now happens first, and the session may still hear of it.
        self.advance(ms(0));
        self.sessions.remove(&session);
        self.input(Input::Closed { session });
    }

    fn relay_opened(&mut self) {
        let Some(call) = self.any_call() else { return };
        let usage = Arc::new(Usage::default());
        self.allocations.push((call, usage.clone()));
        self.input(Input::RelayOpened { call, usage });
    }

    fn relay_closed(&mut self) {
        let Some((call, usage)) = self.allocations.pop() else { return };
        usage.add_up(1);
        self.input(Input::RelayClosed { call, usage });
    }

    /// Somebody in a call does what one does in a call.
    fn sensible(&mut self) -> Option<(SessionId, RequestName, Option<CallId>)> {
        use RequestName::*;
        let live: Vec<_> = self.calls.iter().filter(|(_, call)| !call.ended).collect();
        let (id, call) = live.choose(&mut self.rng)?;
        let members: Vec<_> =
            call.audience.iter().filter(|(_, told)| told.is_none()).map(|(id, _)| *id).collect();
        let session = *members.choose(&mut self.rng).filter(|id| self.is_here(**id))?;
        let is_caller = self.sessions.get(&session)?.0 == call.caller.0;
        let request = *match (is_caller, &call.winner) {
            (true, None) => {
                [IceCandidate, IceCandidate, SignalOffer, CallCancel].choose(&mut self.rng)
            }
            (false, None) => [CallRing, CallAccept, CallAccept, CallReject].choose(&mut self.rng),
            (_, Some(_)) => [
                IceCandidate,
                IceCandidate,
                IceCandidate,
                IceCandidate,
                IceCandidate,
                IceCandidate,
                SignalOffer,
                SignalOffer,
                SignalAnswer,
                CallConnected,
                CallReconnecting,
                MediaUpdate,
                CallUpgrade,
                CallUpgrade,
                CallMessage,
                CallStats,
                CallEnd,
            ]
            .choose(&mut self.rng),
        }
        .unwrap();
        Some((session, request, Some(**id)))
    }

    /// Somebody does anything.
    fn senseless(&mut self) -> Option<(SessionId, RequestName, Option<CallId>)> {
        let session = self.any_session()?;
        let request = *RequestName::ALL.choose(&mut self.rng).unwrap();
        let call = if self.rng.random() { self.any_call() } else { None };
        Some((session, request, call))
    }

    fn request(&mut self) {
        let chosen = match self.rng.random_range(0..100) {
            0..15 => self.any_session().map(|s| (s, RequestName::CallInitiate, None)),
            15..75 => self.sensible(),
            _ => self.senseless(),
        };
        let Some((session, request, call)) = chosen else { return };
        self.number += 1;
        let ufrag = *["one", "two"].choose(&mut self.rng).unwrap();
        let mut data = json!({ "n": self.number });
        match request {
            RequestName::CallInitiate => {
                let online: Vec<_> = self.sessions.values().map(|seat| seat.0.as_str()).collect();
                let somebody = [online.as_slice(), &["nobody"]].concat();
                data["targetUserId"] = json!(somebody.choose(&mut self.rng).unwrap());
                data["callType"] = json!("audio");
            }
            RequestName::IceCandidate => {
                let (ip, rest) = (address(self.number), "x".repeat(self.rng.random_range(0..99)));
                let line = format!("candidate:1 1 udp 1 {ip} 9 typ host {rest}");
                data["candidate"] = json!({ "candidate": line });
                if self.rng.random() {
                    data["candidate"]["usernameFragment"] = json!(ufrag);
                }
            }
            RequestName::SignalOffer | RequestName::SignalAnswer => {
                let ip = address(self.number);
                data["sdp"] = json!(format!("v=0\r\nc=IN IP4 {ip}\r\na=ice-ufrag:{ufrag}\r\n"));
            }
            RequestName::CallUpgrade => {
                data["callType"] = json!(["audio", "video"].choose(&mut self.rng).unwrap());
                data["accept"] = json!(self.rng.random_bool(0.7));
            }
            RequestName::CallMessage => data["data"] = json!(self.number),
            _ => {}
        }
        // Most calls are clear without it.
        if let Some(call) = call
            && self.rng.random_bool(0.8)
        {
            data["callId"] = json!(call);
        }
        if self.rng.random_bool(0.02) {
            data = json!(["nonsense"]);
        }
        if self.rng.random_bool(0.2) && data.is_object() {
            data["msgId"] = json!(self.number.to_string());
        }
        let id = RequestId(self.number);
        self.asked.insert(id, (request.as_str().to_owned(), session, data.clone()));
        let event = request.as_str().to_owned();
        self.input(Input::Request { session, id: Some(id), event, data });
    }

    /// A client brings a fresh token, or something that is none for its session.
    fn refresh(&mut self) {
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
        let grants = self.any_grants();
        let data = json!({ "expires": expires, "user": user, "valid": proof.is_ok() });
        self.brought.insert(RequestId(self.number), Held::new(expires, grants.clone()));
        let proof = proof.map(|()| Identity { user, name: None, expires, grants });
        let id = RequestId(self.number);
        self.asked.insert(id, ("auth:refresh".to_owned(), session, data.clone()));
        self.input(Input::Refresh { session, id: Some(id), data, proof });
    }

    /// A device makes a request again that it has named: it does not know whether it was heard.
    fn again(&mut self) {
        let Some(session) = self.any_session() else { return };
        let seat = self.sessions[&session].clone();
        let own: Vec<_> = self.named.iter().rev().filter(|(by, ..)| *by == seat).take(5).collect();
        let Some((_, event, data, answer)) = own.choose(&mut self.rng).copied().cloned() else {
            return;
        };
        let request = RequestName::parse(&event).unwrap();
        let name = MessageId::read(&seat.1, request, &data).unwrap().unwrap();
        if self.hub.users.get(&seat.0).is_none_or(|user| user.answered.find(&name).is_none()) {
            // So many came since that it is forgotten, or the user has been away without a call.
            return;
        }
        self.number += 1;
        let id = RequestId(self.number);
        self.expected.insert(id, answer);
        self.asked.insert(id, (event.clone(), session, data.clone()));
        self.input(Input::Request { session, id: Some(id), event, data });
    }

    /// Time goes by, often none or little, sometimes just up to a timer.
    fn pass(&mut self) {
        let by = match self.rng.random_range(0..100) {
            0..50 => ms(0),
            50..90 => ms(self.rng.random_range(0..400)),
            90..97 => {
                let due = self.hub.next_timeout().unwrap_or(self.now.instant);
                due.saturating_duration_since(self.now.instant)
            }
            _ => ms(self.rng.random_range(0..6000)),
        };
        if self.rng.random_bool(0.1) {
            // A shell that is late with its timers: the next input comes first.
            self.now = self.now + by;
        } else {
            self.advance(by);
        }
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.log.push(format!("{by:?} go by"));
        self.hub.handle_timeout(self.now);
        self.drain();
        let next = self.hub.next_timeout();
        assert!(next.is_none_or(|due| due > self.now.instant), "a timer that is due was left");
    }

    fn input(&mut self, input: Input) {
        self.log.push(format!("{input:?}"));
        self.hub.handle(self.now, input);
        self.drain();
    }

    /// The observer looks at everything that comes out.
    fn drain(&mut self) {
        // Who sent descriptions and candidates to whom in this batch, in order.
        let mut batch: Vec<(CallId, String, bool)> = Vec::new();
        // The session that goes on with what it missed.
        let mut late = None;
        while let Some(output) = self.hub.poll_output() {
            self.log.push(format!("    {output:?}"));
            match output {
                Output::Welcome { session, data } => {
                    assert!(self.sessions.contains_key(&session));
                    schemas::check_welcome(&data);
                    self.check_ice(session, &data);
                }
                Output::Close { session, reason } => {
                    assert!(self.sessions.remove(&session).is_some(), "closed twice");
                    let expires = self.tokens[&session].expires;
                    let is_over = self.now.unix >= Duration::from_secs(expires.saturating_add(5));
                    if reason == CloseReason::TokenExpired {
                        assert!(is_over, "closed before its time");
                        self.expired += 1;
                    }
                    self.calls.values_mut().for_each(|call| {
                        call.audience.remove(&session);
                    });
                }
                Output::Answer { session, id, answer } => {
                    // What came before the answer was due before the request.
                    batch.clear();
                    self.answered(session, id, &answer.0);
                }
                Output::Resumed { connection, session } => {
                    assert!(self.sessions.remove(&connection).is_some());
                    self.readers.remove(&connection);
                    assert!(self.sessions.contains_key(&session), "back from nowhere");
                    self.away.remove(&session);
                    let held = self.tokens[&connection].clone();
                    self.hold(session, held);
                    let reader = self.readers.get_mut(&session).expect("it can be resumed");
                    assert_eq!(self.claim, reader.has, "it said something wrong");
                    late = Some(session);
                    self.resumed += 1;
                }
                Output::Send { session, seq, event } => {
                    let seat = self.sessions.get(&session).expect("sent to a session that is gone");
                    assert!(self.is_here(session), "sent where nobody is");
                    let seat = seat.clone();
                    let late = late == Some(session);
                    if let Some(seq) = seq {
                        let reader = self.readers.get_mut(&session).expect("it can be resumed");
                        assert_eq!(seq, reader.has + 1, "an event was lost, or came twice");
                        reader.has = seq;
                        if seq <= reader.seen {
                            continue;
                        }
                        reader.seen = seq;
                    } else {
                        assert!(!self.readers.contains_key(&session));
                    }
                    schemas::check_event(event.name, &event.data);
                    self.heard(session, seat, event.name, &event.data, late);
                    if late {
                        continue;
                    }
                    if event.name == "ice:candidate" || event.name.starts_with("signal:") {
                        let call = event.data["callId"].as_str().unwrap().parse().unwrap();
                        let from = event.data["from"].as_str().unwrap().to_owned();
                        batch.push((call, from, event.name.starts_with("signal:")));
                    }
                }
                Output::PeersAnnounced { call, by, addresses } => {
                    let call = self.calls.get_mut(&call).expect("an address of no call");
                    assert!(!call.ended, "an address of a call that is over");
                    let winner = call.winner.as_ref().map(|seat| &seat.0);
                    assert!(by == call.caller.0 || Some(&by) == winner, "a stranger's address");
                    call.announced.extend(addresses.into_iter().map(|ip| (by.clone(), ip)));
                }
                Output::CallEnded { call } => {
                    let call = self.calls.get_mut(&call).expect("an end without a beginning");
                    assert!(!std::mem::replace(&mut call.ended, true), "a call ended twice");
                }
                Output::Report(report) => self.reported(*report),
                Output::AskToHold(report) => self.asked_to_hold.push(report.call.id),
            }
        }
        for (at, (call, from, description)) in batch.iter().enumerate() {
            let overtaken = batch[..at].iter().any(|(c, f, d)| c == call && f == from && !d);
            assert!(!(*description && overtaken), "candidates went before their description");
        }
        // Of those who do not come back in time nothing is heard.
        let hub = &self.hub;
        let over: Vec<_> =
            self.away.iter().filter(|id| !hub.sessions.contains_key(id)).copied().collect();
        for session in over {
            self.away.remove(&session);
            self.sessions.remove(&session);
        }
        let sessions = &self.sessions;
        self.readers.retain(|id, _| sessions.contains_key(id));
        self.tokens.retain(|id, _| sessions.contains_key(id));
        self.check_tokens();
        self.check_calls();
        check(&self.hub, self.now);
    }

    /// A step of a call was reported: it must be one that can follow the last.
    fn reported(&mut self, report: CallReport) {
        use CallEvent::*;
        let before = self.reports.insert(report.call.id, report.clone());
        match (before.as_ref().map(|before| before.event), report.event) {
            (None, Initiated)
            | (Some(Initiated), Ringing)
            | (Some(Ringing), Accepted)
            | (Some(Accepted), Connected)
            | (Some(Connected | Reconnected), Reconnecting)
            | (Some(Reconnecting), Reconnected) => assert!(!report.call.state.is_over()),
            (Some(last), Ended) if last != Ended => {
                assert!(self.calls[&report.call.id].ended && report.call.state.is_over());
            }
            (before, now) => panic!("{now} was reported after {before:?}"),
        }
        assert!(before.is_none_or(|before| before.at <= report.at));
    }

    /// A session has this token from now on.
    fn hold(&mut self, session: SessionId, mut held: Held) {
        let before = &self.tokens[&session];
        held.told = before.told && before.expires == held.expires;
        self.tokens.insert(session, held);
    }

    /// Who may not use the relay has no credentials for it.
    fn check_ice(&self, session: SessionId, data: &Value) {
        let is_there = data["turnCredentials"].is_object();
        assert_eq!(is_there, self.tokens[&session].grants.relay, "{data}");
    }

    /// A request was answered.
    fn answered(&mut self, session: SessionId, id: RequestId, answer: &Value) {
        let (event, asker, data) = self.asked.remove(&id).expect("an answer that nobody asked for");
        assert_eq!(asker, session);
        schemas::check_answer(&event, answer);
        if let Some(expected) = self.expected.remove(&id) {
            assert!(*answer == expected || answer["error"]["code"] == "rate_limited", "{answer}");
            self.repeated += 1;
            return;
        }
        if data["msgId"].is_string() && answer["ok"] == true {
            let seat = self.sessions[&session].clone();
            self.named.push((seat, event.clone(), data.clone(), answer.clone()));
        }
        if answer["ok"] != true {
            assert!(answer["error"]["code"].is_string());
            return;
        }
        let seat = self.sessions[&session].clone();
        if event == "ice:refresh" {
            self.check_ice(session, answer);
            if answer["callId"].is_null() {
                return;
            }
        }
        if event == "auth:refresh" {
            let held = self.brought.remove(&id).expect("only what was brought is taken");
            assert!(data["valid"] == true && data["user"] == json!(seat.0), "it is not its own");
            self.hold(session, held);
            self.refreshed += 1;
            return;
        }
        let call: CallId = answer["callId"].as_str().unwrap().parse().unwrap();
        if event == "call:initiate" && answer["glare"] != true {
            self.check_ice(session, answer);
            let grants = &self.tokens[&session].grants;
            let callee = user(data["targetUserId"].as_str().unwrap());
            assert!(grants.may_call(&callee), "called somebody whom the token does not name");
            let is_in = |call: &&Watched| call.caller.0 == seat.0 || call.callee == seat.0;
            let others = self.calls.values().filter(|call| !call.ended).filter(is_in).count();
            assert!(grants.max_calls.is_none_or(|max| others < max as usize), "too many calls");
            let watched = Watched {
                caller: seat,
                callee: user(data["targetUserId"].as_str().unwrap()),
                winner: None,
                audience: BTreeMap::from([(session, None)]),
                ended: false,
                offered: BTreeSet::new(),
                relayed: BTreeSet::new(),
                announced: BTreeSet::new(),
            };
            assert!(self.calls.insert(call, watched).is_none());
            return;
        }
        let watched = self.calls.get_mut(&call).expect("a call that was never begun");
        assert!(!watched.ended, "something was done in a call that is over");
        assert!(seat.0 == watched.caller.0 || seat.0 == watched.callee, "a stranger got through");
        match event.as_str() {
            // The two have called each other; asked again, it is the same call.
            "call:initiate" if watched.winner.as_ref() == Some(&seat) => self.crossed += 1,
            "call:accept" | "call:initiate" => {
                assert_eq!(watched.winner, None, "two devices won");
                assert_eq!(seat.0, watched.callee);
                watched.winner = Some(seat);
                self.crossed += u64::from(event == "call:initiate");
            }
            "call:end" | "call:cancel" | "call:reject" => {
                let reason = answer["reason"].as_str().unwrap().to_owned();
                assert_eq!(watched.audience.insert(session, Some(reason)), Some(None));
            }
            "ice:candidate" => self.candidates_taken += 1,
            "signal:offer" => {
                watched.offered.insert(seat.0);
            }
            "signal:answer" => {
                let other =
                    if seat.0 == watched.callee { &watched.caller.0 } else { &watched.callee };
                assert!(watched.offered.contains(other), "an answer to nothing");
            }
            _ => {}
        }
    }

    /// A session heard an event.
    fn heard(&mut self, session: SessionId, seat: Seat, name: &str, data: &Value, late: bool) {
        if name == "server:draining" {
            return;
        }
        if name == "auth:expiring" {
            let Held { expires, told, .. } = self.tokens.get_mut(&session).expect("it has one");
            // One that comes late may be of the token before.
            if data["expiresAt"] == json!(Timestamp(Duration::from_secs(*expires))) {
                assert!(!std::mem::replace(told, true), "told twice");
            } else {
                assert!(late, "told of another token");
            }
            self.warned += 1;
            return;
        }
        let call: CallId =
            data["callId"].as_str().expect("every event names its call").parse().unwrap();
        let watched = self.calls.get_mut(&call).expect("an event about no call");
        let is_caller = seat == watched.caller;
        let is_callee = watched.winner.as_ref().map_or(seat.0 == watched.callee, |w| *w == seat);
        assert!(late || !watched.ended, "something was heard of a call that is over");
        if name == "call:ended" {
            let reason = data["reason"].as_str().unwrap().to_owned();
            assert!(seat.0 == watched.caller.0 || seat.0 == watched.callee, "a stranger heard it");
            assert_eq!(watched.audience.insert(session, Some(reason)), Some(None), "told twice");
            return;
        }
        // Another device may have accepted before it came back and heard that it rang.
        assert!(late || is_caller || is_callee, "{name} went to somebody who is not in the call");
        match name {
            "call:incoming" => {
                assert!(late || is_callee && watched.winner.is_none());
                assert_eq!(watched.audience.insert(session, None), None);
                if !late {
                    self.check_ice(session, data);
                }
            }
            "call:state" => {
                let over = matches!(data["call"]["state"].as_str(), Some("ended" | "failed"));
                // A session that took its device's place hears of the call this way first.
                let told = watched.audience.entry(session).or_default();
                assert_eq!(told.is_some(), over, "the end was shown, but not told");
            }
            "ice:candidate" | "signal:offer" | "signal:answer" => {
                let winner = watched.winner.as_ref().expect("relayed before anyone accepted");
                let from = if is_caller { winner } else { &watched.caller };
                assert_eq!(data["from"], json!(from.0));
                assert_eq!(data["fromDevice"], json!(from.1));
                let number = data["n"].as_u64().unwrap();
                assert!(watched.relayed.insert(number), "relayed twice");
                let announced = watched.announced.contains(&(from.0.clone(), address(number)));
                assert!(announced, "the other side knows an address before the relay does");
            }
            "call:sync" => {
                // The session is a new one, which hears of the call this way.
                watched.audience.entry(session).or_default();
                assert!(watched.winner.is_some() || is_caller);
            }
            "media:updated" | "call:upgrade" | "call:upgraded" | "call:message" => {
                assert!(watched.winner.is_some(), "{name} before anyone accepted");
            }
            "call:ringing" | "call:accepted" => assert!(is_caller),
            "ice:servers" => {
                assert!(watched.winner.is_some(), "{name} before anyone accepted");
                if !late {
                    self.check_ice(session, data);
                }
            }
            "call:reconnecting" | "call:reconnected" => assert!(watched.winner.is_some()),
            other => panic!("{other} was not expected"),
        }
    }

    /// After each input: nobody is there whose token is over, and everyone has been told of one that
    /// is over soon, but nobody of another.
    fn check_tokens(&self) {
        let warning = self.hub.config.token_warning;
        for (session, Held { expires, told, .. }) in &self.tokens {
            let expires = Duration::from_secs(*expires);
            let is_over = self.now.unix >= expires.saturating_add(ms(5000));
            assert!(!is_over, "a session outlived its token");
            if self.is_here(*session) {
                let is_near = !warning.is_zero() && self.now.unix >= expires - warning;
                assert_eq!(*told, is_near, "{session} was told at another time");
            }
        }
    }

    /// After each input: what is over was told to everyone who could hear it, and the books on
    /// candidates balance.
    fn check_calls(&mut self) {
        let sessions = &self.sessions;
        for (id, call) in &mut self.calls {
            call.audience.retain(|session, _| sessions.contains_key(session));
            if !call.ended {
                continue;
            }
            let record = self.hub.call(self.now, *id);
            let away = &self.away;
            for (_, told) in call.audience.iter().filter(|(id, _)| !away.contains(id)) {
                let told = told.as_deref().expect("somebody was not told that the call is over");
                let elsewhere = told == EndReason::AnsweredElsewhere.as_str()
                    || told == EndReason::RejectedElsewhere.as_str();
                if let Some(record) = &record {
                    let reason = record.reason.expect("a call that is over has a reason");
                    assert!(elsewhere || told == reason.as_str(), "two reasons for one end");
                }
            }
            // Who is away hears it on coming back.
            call.audience.retain(|session, told| away.contains(session) && told.is_none());
        }
        let stats = self.hub.stats();
        let counters = &stats.counters;
        assert_eq!(
            self.candidates_taken,
            counters.candidates_relayed
                + counters.candidates_dropped
                + stats.journal_candidates as u64,
            "a candidate was lost"
        );
    }
}

/// The address that the event with this number names.
fn address(number: u64) -> IpAddr {
    IpAddr::from([10, 0, (number / 256) as u8, number as u8])
}

#[test]
fn random_calls_leak_nothing_and_tell_no_stranger() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("CALLBOX_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CALLBOX_SIM_RUNS").unwrap_or(500),
    };
    let mut ended = BTreeMap::new();
    let (mut relayed, mut resumed, mut repeated, mut crossed) = (0, 0, 0, 0);
    let (mut warned, mut refreshed, mut expired) = (0, 0, 0);
    for seed in seeds.clone() {
        let mut sim = Sim::new(seed);
        sim.run();
        let counters = sim.hub.stats().counters;
        for (reason, count) in counters.calls_ended.iter() {
            *ended.entry(reason).or_insert(0) += count;
        }
        relayed += counters.candidates_relayed;
        resumed += sim.resumed;
        repeated += sim.repeated;
        crossed += sim.crossed;
        warned += sim.warned;
        refreshed += sim.refreshed;
        expired += sim.expired;
    }
    if seeds.end - seeds.start < 100 {
        return;
    }
    // A simulation in which nothing happens proves nothing.
    println!(
        "{relayed} candidates; {resumed} sessions resumed; {repeated} repeated; {crossed} crossed; {ended:?}"
    );
    assert!(crossed > 50, "{crossed}");
    assert!(resumed > 500 && repeated > 500, "{resumed} {repeated}");
    assert!(relayed > 1000, "{relayed} candidates");
    println!("tokens: {warned} warned of, {refreshed} refreshed, {expired} expired");
    assert!(warned > 500 && refreshed > 500 && expired > 200, "{warned} {refreshed} {expired}");
    for reason in [
        EndReason::Hangup,
        EndReason::Rejected,
        EndReason::Busy,
        EndReason::Timeout,
        EndReason::Cancelled,
        EndReason::Offline,
        EndReason::ConnectionLost,
        EndReason::ServerShutdown,
    ] {
        assert!(ended[&reason] > 20, "{reason}: {}", ended[&reason]);
    }
}

#[test]
fn a_run_is_the_same_each_time() {
    for seed in [1, 2] {
        let logs = [Sim::new(seed), Sim::new(seed)].map(|mut sim| {
            sim.run();
            std::mem::take(&mut sim.log)
        });
        assert!(logs[0] == logs[1], "CALLBOX_SIM_SEED={seed} has two outcomes");
    }
}
