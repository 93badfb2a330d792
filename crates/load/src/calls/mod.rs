//! `callbox load --calls`: calls at a fixed rate through a signaling server, each the whole flow on
//! both sides, timed step by step.
//!
//! It is an open loop: calls begin when they are due, whatever became of those before, and the time
//! that a call waits counts. One thread drives all clients, so that a core of its own is enough for
//! the load.

mod args;
mod bodies;
mod fixed_rate;
mod framing;
mod idle;
mod pair;
mod report;
mod session;
mod statistics;
mod users;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use callbox_cli::say;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::task::JoinSet;

pub(super) use self::args::{CallsArgs, Target};
use self::{
    bodies::Bodies, idle::IdleReport, pair::Pair, report::CallsReport, statistics::Statistics,
    users::Users,
};
use super::{
    LoadArgs,
    process::{Meter, Process},
};

/// The number of calls that begin a second without --rate.
const DEFAULT_RATE: u64 = 100;

/// The number of clients that sign in at a time.
const AT_ONCE: usize = 32;

/// The time for which the load waits for calls that are not over when all have been due.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Runs the load and prints the results. Returns false if no call was made.
pub(super) fn run(args: &LoadArgs, target: &Target) -> anyhow::Result<bool> {
    args.calls.check()?;
    ensure!(args.rate != Some(0), "--rate 0: no call would be made");
    let process = args.pid.map(Process::new).transpose()?;
    let minter = args.calls.tokens.minter()?;
    // A limit that cannot be raised shows when there is no socket left.
    let _ = callbox_sys::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let users = Arc::new(Users::new(target.clone(), args.client_ip, minter));
    if let Some((sessions, process)) = args.calls.idle.zip(process.as_ref()) {
        let report = runtime.block_on(idle::run(args, users, process, sessions))?;
        show(args.json, &report, IdleReport::print);
        return Ok(true);
    }
    let report = runtime.block_on(ring(args, users, process.as_ref()))?;
    show(args.json, &report, CallsReport::print);
    Ok(report.completed > 0)
}

/// Prints the numbers: one JSON object, or a table for a person.
fn show<T: Serialize>(json: bool, report: &T, print: impl Fn(&T)) {
    if json { say!("{}", serde_json::json!(report)) } else { print(report) }
}

/// Makes the calls.
async fn ring(
    args: &LoadArgs,
    users: Arc<Users>,
    process: Option<&Process>,
) -> anyhow::Result<CallsReport> {
    let pairs = signed_in(args.calls.pairs, |number| Pair::open(users.clone(), number)).await?;
    let (bodies, statistics) = (Arc::new(Bodies::new()), Arc::new(Mutex::new(Statistics::new())));
    let rate = args.rate.unwrap_or(DEFAULT_RATE);
    let (meter, started) = (Meter::start(process)?, Instant::now());
    let (due, pacer) = fixed_rate::start(rate, args.duration);
    let mut running = JoinSet::new();
    for pair in pairs {
        running.spawn(pair.run(due.clone(), bodies.clone(), statistics.clone()));
    }
    drop(due);
    // The server is measured as with clients on other machines. Waking this thread would count as a
    // cost of the process that sends to it, so this thread does not sleep meanwhile.
    let awake = process.map(|_| tokio::spawn(stay_awake()));
    let all = async { while running.join_next().await.is_some() {} };
    // Calls that are not over by then count as unfinished.
    let _ = tokio::time::timeout(args.duration + LAST_WAIT, all).await;
    let used = meter.used()?;
    awake.inspect(|awake| awake.abort());
    running.shutdown().await;
    // The pacer ends when no pair is left to take a call.
    pacer.join().map_err(|_| anyhow::anyhow!("the pacer has panicked"))?;
    let statistics = statistics.lock().expect("counting does not panic");
    let begun = fixed_rate::count(rate, args.duration);
    Ok(CallsReport::new(
        args.calls.pairs,
        rate,
        begun,
        &statistics,
        statistics.last - started,
        &used,
    ))
}

/// Keeps the thread of the runtime from sleeping: it polls its sockets again and again.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// Signs in `count` users or pairs, a few at a time.
async fn signed_in<T, F: Future<Output = anyhow::Result<T>>>(
    count: usize,
    open: impl Fn(usize) -> F,
) -> anyhow::Result<Vec<T>> {
    let mut opening = stream::iter((0..count).map(open)).buffer_unordered(AT_ONCE);
    let mut opened = Vec::with_capacity(count);
    while let Some(one) = opening.next().await {
        opened.push(one?);
    }
    Ok(opened)
}
