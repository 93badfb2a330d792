//! The runs of the simulation, each with a seed of its own.

use std::collections::BTreeMap;

use super::{Sim, rooms::WatchedRoom};
use crate::{EndReason, rooms::MAX_PARTICIPANTS};

/// Returns the seeds of the runs to make.
fn seeds(runs: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("CALLBOX_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CALLBOX_SIM_RUNS").unwrap_or(runs),
    }
}

#[test]
fn random_calls_leave_no_state_and_reach_no_outsider() {
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
fn random_rooms_leave_no_state_and_reach_no_outsider() {
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
fn a_run_is_reproducible() {
    for (seed, rooms) in [(1, false), (2, false), (1, true), (2, true)] {
        let logs = [Sim::new(seed, rooms), Sim::new(seed, rooms)].map(|mut sim| {
            sim.run();
            std::mem::take(&mut sim.log)
        });
        assert!(logs[0] == logs[1], "CALLBOX_SIM_SEED={seed} has two outcomes");
    }
}
