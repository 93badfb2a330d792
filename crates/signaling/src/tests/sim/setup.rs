//! The beginning of a run: the hub's settings, and an observer that knows nothing yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{Sim, ms};
use crate::{Config, Hub};

impl Sim {
    pub(super) fn new(seed: u64, rooms: bool) -> Self {
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
}
