//! `callbox load`: many TURN clients at once, to see what a relay carries and what it costs; or with
//! `--calls` many calls at once, to see the same of a signaling server.
//!
//! One thread drives every client through batched system calls, so that it takes less time for a
//! packet than the server does. It speaks to any TURN server, and to a plain forwarder to compare one with.
#![forbid(unsafe_code)]

mod args;
mod binding;
mod calls;
mod client;
mod exchange;
mod histogram;
mod message;
mod plain;
mod process;
mod receiver;
mod report;
mod senders;
mod sockets;
mod traffic;
mod upkeep;

use std::time::{Duration, Instant};

pub use self::args::LoadArgs;
use self::{
    args::{Framing, Path},
    client::{Clients, Step},
    message::Login,
    process::Process,
    report::{Memory, Report},
};

/// How long after the last client has closed the server's memory is looked at.
const AFTER_CLOSE: Duration = Duration::from_secs(1);

/// Runs the load and prints what came of it. `false` if nothing came through.
///
/// # Errors
/// The arguments contradict each other, or the server cannot be loaded.
pub fn run(args: &LoadArgs) -> anyhow::Result<bool> {
    if let Some(target) = &args.calls.calls {
        return calls::run(args, target);
    }
    args.check()?;
    let process = args.pid.map(Process::new).transpose()?;
    let process = process.as_ref();
    let memory = || process.map(Process::memory).transpose();
    let cpu = || process.map(Process::cpu).transpose();
    let before = memory()?;

    let mut report = Report { clients: args.clients, ..Report::default() };
    if !args.binding.is_zero() {
        let used = cpu()?;
        let (answered, took) = binding::count(args)?;
        report.bindings_per_second = Some(answered as f64 / took.as_secs_f64());
        report.cpu_us_per_binding = each(used, cpu()?, answered);
    }
    let turn = args.framing != Framing::None;
    let login = if turn { args.credentials()? } else { Default::default() };
    let mut clients = Clients::open(args, Login::new(login.0, login.1))?;
    let mut bare = None;
    if turn {
        let (used, started) = (cpu()?, Instant::now());
        exchange::all(&mut clients, &[Step::Challenge, Step::Allocate])?;
        let rate = args.clients as f64 / started.elapsed().as_secs_f64();
        report.allocations_per_second = Some(rate);
        report.cpu_us_per_allocation = each(used, cpu()?, args.clients as u64);
        bare = memory()?;
        let ways: Vec<_> = (0..clients.ways()).map(Step::Way).collect();
        exchange::all(&mut clients, &ways)?;
    } else {
        plain::meet(&mut clients, args.server)?;
    }
    let ready = memory()?;
    report.traffic = Some(traffic::run(args, &mut clients, process)?);
    if turn {
        // What is lost on the way expires by itself.
        let _ = exchange::all(&mut clients, &[Step::Close]);
    }
    if let (Some(process), Some(before), Some(ready)) = (process, before, ready) {
        let after = process.memory_settled(before, AFTER_CLOSE)?;
        report.memory = Some(Memory::new(args.clients, before, bare, ready, after));
    }
    report.print(args.json);
    Ok(report.traffic.is_some_and(|traffic| traffic.received > 0))
}

/// CPU time of each of `count`, in microseconds.
fn each(before: Option<Duration>, after: Option<Duration>, count: u64) -> Option<f64> {
    let used = after?.saturating_sub(before?);
    Some(used.as_secs_f64() * 1e6 / count.max(1) as f64)
}
