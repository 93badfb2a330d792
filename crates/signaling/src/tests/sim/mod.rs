//! A simulation: random users do random things at random times, and an observer who sees only what
//! goes in and out checks that nobody hears what is not theirs and that nothing is left behind.
//!
//! Each run is one seed. `CALLBOX_SIM_SEED=n` runs that one alone, `CALLBOX_SIM_RUNS=n` so many.

mod connections;
mod kicks;
mod listening;
mod looking;
mod presence;
mod relay;
mod requests;
mod restart;
mod rooms;
mod tokens;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
    usage::Usage,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;

use self::{
    kicks::Kicked,
    rooms::{View, WatchedRoom},
    tokens::Held,
};
use super::{ms, schemas, user};
use crate::{
    CallEvent, CallReport, Config, Counters, EndReason, Hub, Input, PresenceStatus, RequestId,
    rooms::MAX_PARTICIPANTS,
};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DEVICES: [&str; 4] = ["laptop", "phone", "tablet", "desk"];
const STEPS: usize = 300;

/// A device of a user.
type Seat = (UserId, DeviceId);

/// A call, as the observer knows it.
struct Watched {
    caller: Seat,
    callee: UserId,
    /// The device that was told that its accept won.
    winner: Option<Seat>,
    /// The device that one side hands the call to.
    next: Option<Seat>,
    /// The number of the request by which a side changed its device last.
    moved_at: u64,
    /// The sessions that a side handed the call to, whatever became of it.
    offered_to: BTreeSet<SessionId>,
    /// The sessions that know of the call, and why it is over for them once they were told.
    audience: BTreeMap<SessionId, Option<String>>,
    ended: bool,
    /// The users who made an offer, since a side changed its device.
    offered: BTreeSet<UserId>,
    /// By sender: the numbers of the candidates that went to the other side.
    relayed: BTreeSet<u64>,
    /// The addresses that the relay was told of, each with whose it is.
    announced: BTreeSet<(UserId, IpAddr)>,
}

/// A client's progress with the events of its session.
#[derive(Debug, Clone, Copy, Default)]
struct Reader {
    /// The last that it has.
    has: u64,
    /// The last that was ever seen on its way to it: it may be lost with the connection.
    seen: u64,
    /// The last that it has said it has.
    said: u64,
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
    /// The progress of the client of each session that can be resumed.
    readers: BTreeMap<SessionId, Reader>,
    /// Up to which event the client says that it has everything, when it comes back.
    claim: u64,
    /// Requests that their senders have named, and what they were answered with.
    named: Vec<(Seat, String, Value, Value)>,
    /// The expected answer to each request that is made again.
    expected: BTreeMap<RequestId, Value>,
    calls: BTreeMap<CallId, Watched>,
    rooms: BTreeMap<CallId, WatchedRoom>,
    /// The rooms that each session sees.
    in_view: BTreeMap<(SessionId, CallId), View>,
    /// The share of requests that are about rooms.
    about_rooms: f64,
    /// True if everyone joins one room.
    crowded: bool,
    /// The last report of each call.
    reports: BTreeMap<CallId, CallReport>,
    /// The token that each `auth:refresh` brings.
    brought: BTreeMap<RequestId, Held>,
    /// The token of each session.
    tokens: BTreeMap<SessionId, Held>,
    /// The tokens that were made, each with whose it is.
    made: Vec<(UserId, Held)>,
    /// The users who were kicked, as long as that counts.
    kicked: BTreeMap<UserId, Kicked>,
    /// The users whom each session blocks.
    blocked: BTreeMap<SessionId, BTreeSet<UserId>>,
    kicks: u64,
    /// The numbers of times that a kick withheld credentials, and that they were given again.
    without_relay: u64,
    readmissions: u64,
    blocks: u64,
    /// The presence that each watcher was told of the users whom it watches.
    views: BTreeMap<SessionId, BTreeMap<UserId, PresenceStatus>>,
    /// The users who have begun a call or come into a room since the last input, each with the most
    /// calls that its token allows.
    callers: Vec<(UserId, Option<u64>)>,
    /// The calls about which it was asked whether to hold them, and not answered.
    asked_to_hold: Vec<CallId>,
    /// The entries for the next server.
    kept: BTreeMap<String, String>,
    crashes: u64,
    /// The event and the sender of each request that is not yet answered.
    asked: BTreeMap<RequestId, (String, SessionId, Value)>,
    allocations: Vec<(CallId, Arc<Usage>)>,
    candidates_taken: u64,
    resumed: u64,
    repeated: u64,
    crossed: u64,
    joins: u64,
    fullest_room: usize,
    transferred: u64,
    presence_changes: u64,
    warned: u64,
    refreshed: u64,
    expired: u64,
    /// Calls that went on in the server that there is now, and in any.
    restored: u64,
    all_restored: u64,
    /// The counters of the servers before this one.
    past: Vec<Counters>,
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
    fn new(seed: u64, rooms: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let crowded = rooms && rng.random_bool(0.3);
        let about_rooms = if crowded { 0.9 } else { f64::from(u8::from(rooms)) * 0.4 };
        let limits = if crowded {
            Config { max_sessions: 16, max_sessions_per_user: 4, ..Config::default() }
        } else {
            Config {
                max_sessions: rng.random_range(4..=16),
                max_sessions_per_user: rng.random_range(1..=4),
                events_per_second: *[0, 0, 5, 50].choose(&mut rng).unwrap(),
                event_burst: rng.random_range(1..=10),
                calls_per_minute: *[0, 0, 6, 60].choose(&mut rng).unwrap(),
                call_burst: rng.random_range(1..=10),
                ..Config::default()
            }
        };
        let config = Config {
            ring_timeout: ms(5000),
            candidate_hold: *[ms(0), ms(300)].choose(&mut rng).unwrap(),
            reconnect_grace: ms(3000),
            resume_window: *[ms(0), ms(1000), ms(3000), ms(9000)].choose(&mut rng).unwrap(),
            token_warning: *[ms(0), ms(10_000), ms(60_000)].choose(&mut rng).unwrap(),
            max_calls_per_user: rng.random_range(1..=3),
            ringing_is_busy: rng.random_bool(0.3),
            max_ringing_per_user: rng.random_range(1..=3),
            max_ringing_per_pair: rng.random_range(1..=2),
            calls_per_pair: *[0, 0, 6, 20].choose(&mut rng).unwrap(),
            kick_ttl: *[ms(0), ms(20_000), ms(600_000)].choose(&mut rng).unwrap(),
            max_calls: rng.random_range(1..=4),
            journal_candidates: rng.random_range(0..=8),
            journal_bytes: rng.random_range(0..=2000),
            ended_calls: rng.random_range(0..=12),
            ended_calls_for: ms(8000),
            announce_peers: true,
            report_calls: true,
            keep_calls: rng.random_bool(0.7),
            turn_secrets: TurnSecrets::new(&[Secret::new("north")]),
            ask_to_hold: rng.random_bool(0.5),
            ..limits
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
            rooms: BTreeMap::new(),
            in_view: BTreeMap::new(),
            about_rooms,
            crowded,
            reports: BTreeMap::new(),
            brought: BTreeMap::new(),
            tokens: BTreeMap::new(),
            made: Vec::new(),
            kicked: BTreeMap::new(),
            blocked: BTreeMap::new(),
            kicks: 0,
            without_relay: 0,
            readmissions: 0,
            blocks: 0,
            views: BTreeMap::new(),
            callers: Vec::new(),
            asked_to_hold: Vec::new(),
            kept: BTreeMap::new(),
            crashes: 0,
            asked: BTreeMap::new(),
            allocations: Vec::new(),
            candidates_taken: 0,
            resumed: 0,
            repeated: 0,
            crossed: 0,
            joins: 0,
            fullest_room: 0,
            transferred: 0,
            presence_changes: 0,
            warned: 0,
            refreshed: 0,
            expired: 0,
            restored: 0,
            all_restored: 0,
            past: Vec::new(),
            log: Vec::new(),
        }
    }

    fn run(&mut self) {
        for _ in 0..8 {
            self.open();
        }
        for _ in 0..STEPS {
            self.step();
            self.pass();
            if self.rng.random_ratio(1, 200) {
                self.restart();
            }
            if self.hub.config().keep_calls && self.rng.random_ratio(1, 200) {
                self.crash();
            }
        }
        if self.rng.random_bool(0.5) {
            // In the middle of something.
            for _ in 0..20 {
                self.request();
            }
            self.stop();
            // If it was to keep calls, it cannot.
            self.hub.give_up_calls(self.now);
            self.drain();
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
        assert!(self.rooms.values().all(|room| room.ended), "a room was left over");
        let mut last = self.reports.values().map(|report| report.event);
        assert!(last.all(|event| event == CallEvent::Ended), "an end was not reported");
        assert_eq!(self.reports.len(), self.calls.len() + self.rooms.len());
        let stats = self.hub.stats();
        let counters = stats.counters.clone();
        assert_eq!(counters.calls_started + self.restored, counters.calls_ended.total());
        assert_eq!(stats, crate::Stats { counters, ..Default::default() });
        assert_eq!(self.hub.next_timeout(), None);
        if self.hub.config().keep_calls {
            assert_eq!(self.kept, BTreeMap::new());
        }
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
            25 if self.rng.random_bool(0.5) => self.kick(),
            25..40 if self.crowded => self.open(),
            _ => self.request(),
        }
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
        // A call that yields to another one is over by now.
        for (caller, max) in std::mem::take(&mut self.callers) {
            let calls = self.own_calls(&caller);
            assert!(max.is_none_or(|max| calls <= max as usize), "too many calls");
        }
    }
}

/// The address that the event with this number names.
fn address(number: u64) -> IpAddr {
    IpAddr::from([10, 0, (number / 256) as u8, number as u8])
}

/// Returns the seeds of the runs to make.
fn seeds(runs: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("CALLBOX_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CALLBOX_SIM_RUNS").unwrap_or(runs),
    }
}

#[test]
fn random_calls_leak_nothing_and_tell_no_stranger() {
    let seeds = seeds(700);
    let mut ended = BTreeMap::new();
    let (mut relayed, mut resumed, mut repeated, mut crossed) = (0, 0, 0, 0);
    let (mut warned, mut refreshed, mut expired, mut restored) = (0, 0, 0, 0);
    let (mut transferred, mut presence_changes, mut crashes) = (0, 0, 0);
    let (mut kicks, mut without_relay, mut readmissions, mut blocks) = (0, 0, 0, 0);
    for seed in seeds.clone() {
        let mut sim = Sim::new(seed, false);
        sim.run();
        sim.past.push(sim.hub.stats().counters);
        for counters in &sim.past {
            for (reason, count) in counters.calls_ended.iter() {
                *ended.entry(reason).or_insert(0) += count;
            }
            relayed += counters.candidates_relayed;
        }
        resumed += sim.resumed;
        repeated += sim.repeated;
        crossed += sim.crossed;
        transferred += sim.transferred;
        presence_changes += sim.presence_changes;
        kicks += sim.kicks;
        without_relay += sim.without_relay;
        readmissions += sim.readmissions;
        blocks += sim.blocks;
        warned += sim.warned;
        refreshed += sim.refreshed;
        expired += sim.expired;
        restored += sim.all_restored;
        crashes += sim.crashes;
    }
    if seeds.end - seeds.start < 100 {
        return;
    }
    // A simulation in which nothing happens proves nothing.
    println!(
        "{relayed} candidates; {resumed} sessions resumed; {repeated} repeated; {crossed} crossed; {ended:?}"
    );
    println!("{restored} calls went on after a restart; {transferred} were handed on");
    println!("{crashes} servers crashed");
    assert!(restored > 100 && transferred > 50 && crashes > 300, "{restored} {transferred}");
    assert!(crossed > 50, "{crossed}");
    println!(
        "{kicks} kicks, {without_relay} without the relay, {readmissions} readmissions; {blocks} blocked"
    );
    assert!(kicks > 200 && without_relay > 50 && readmissions > 20 && blocks > 50);
    println!("{presence_changes} changes of presence were heard of");
    assert!(presence_changes > 1000, "{presence_changes}");
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
        EndReason::Left,
        EndReason::ServerShutdown,
        EndReason::ServerCrashed,
        EndReason::Kicked,
    ] {
        assert!(ended[&reason] > 20, "{reason}: {}", ended[&reason]);
    }
}

#[test]
fn random_rooms_leak_nothing_and_tell_no_stranger() {
    let seeds = seeds(200);
    let (mut joins, mut rooms, mut full, mut relayed, mut resumed) = (0, 0, 0, 0, 0);
    for seed in seeds.clone() {
        let mut sim = Sim::new(seed, true);
        sim.run();
        joins += sim.joins;
        rooms += sim.rooms.len();
        full += u64::from(sim.fullest_room == MAX_PARTICIPANTS);
        relayed += sim.rooms.values().map(WatchedRoom::relayed).sum::<usize>();
        resumed += sim.resumed;
    }
    if seeds.end - seeds.start < 100 {
        return;
    }
    println!(
        "{joins} joins of {rooms} rooms, {relayed} events relayed, {resumed} sessions resumed"
    );
    println!("a room was full in {full} runs");
    assert!(joins > 1000 && rooms > 500 && full > 20, "{joins} {rooms} {full}");
    assert!(relayed > 2000 && resumed > 500, "{relayed} {resumed}");
}

#[test]
fn a_run_is_the_same_each_time() {
    for (seed, rooms) in [(1, false), (2, false), (1, true), (2, true)] {
        let logs = [Sim::new(seed, rooms), Sim::new(seed, rooms)].map(|mut sim| {
            sim.run();
            std::mem::take(&mut sim.log)
        });
        assert!(logs[0] == logs[1], "CALLBOX_SIM_SEED={seed} has two outcomes");
    }
}
