//! `callbox load`: many TURN clients at once, to see what a relay carries and what it costs; or
//! with
//! `--calls` many calls at once, to see the same of a signaling server.
//!
//! One thread drives every client through batched system calls, so that it takes less time for a
//! packet than the server does. It speaks to any TURN server, and to a plain forwarder to compare
//! one with.
#![forbid(unsafe_code)]

mod args;
mod binding;
mod calls;
mod client;
mod clients;
mod exchange;
mod forwarder;
mod histogram;
mod process;
mod receiver;
mod refresh;
mod report;
mod senders;
mod sockets;
mod traffic;

use std::time::{Duration, Instant};

use callbox_client::Login;

pub use self::args::LoadArgs;
use self::{
    args::{Framing, Path},
    client::Step,
    clients::Clients,
    process::Process,
    report::{Memory, Report},
};

/// The longest time after the end of the last client until the server's memory is read.
const AFTER_CLOSE: Duration = Duration::from_secs(1);

/// Runs the load and prints the results. Returns false if nothing came through.
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
    let is_turn = args.framing != Framing::None;
    let login = if is_turn { args.credentials()? } else { Default::default() };
    let mut clients = Clients::open(args, Login::new(login.0, login.1))?;
    let mut bare = None;
    if is_turn {
        let (used, started) = (cpu()?, Instant::now());
        exchange::run(&mut clients, &[Step::Challenge, Step::Allocate])?;
        let rate = args.clients as f64 / started.elapsed().as_secs_f64();
        report.allocations_per_second = Some(rate);
        report.cpu_us_per_allocation = each(used, cpu()?, args.clients as u64);
        bare = memory()?;
        let peers: Vec<_> = (0..clients.peers()).map(Step::Peer).collect();
        exchange::run(&mut clients, &peers)?;
    } else {
        forwarder::learn_addresses(&mut clients, args.server)?;
    }
    let ready = memory()?;
    report.traffic = Some(traffic::run(args, &mut clients, process)?);
    if is_turn {
        // An allocation whose request is lost expires by itself.
        let _ = exchange::run(&mut clients, &[Step::Close]);
    }
    if let (Some(process), Some(before), Some(ready)) = (process, before, ready) {
        let after = process.memory_settled(before, AFTER_CLOSE)?;
        report.memory = Some(Memory::new(args.clients, before, bare, ready, after));
    }
    report.print(args.json);
    Ok(report.traffic.is_some_and(|traffic| traffic.received > 0))
}

/// Returns the CPU time of each of `count`, in microseconds.
fn each(before: Option<Duration>, after: Option<Duration>, count: u64) -> Option<f64> {
    let used = after?.saturating_sub(before?);
    Some(used.as_secs_f64() * 1e6 / count.max(1) as f64)
}
