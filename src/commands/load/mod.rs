//! `callbox load`: many TURN clients at once, to see what a relay carries and what it costs.
//!
//! One thread drives every client through batched system calls, so that it takes less time for a
//! packet than the server does. It speaks to any TURN server, and to a plain forwarder to compare one with.

mod args;
mod client;
mod histogram;
mod plain;
mod process;
mod receiver;
mod report;
mod senders;
mod traffic;

use std::time::Instant;

pub(super) use self::args::LoadArgs;
use self::{
    args::{Framing, Path},
    client::Clients,
    process::Process,
    report::Report,
};

/// Runs the load and prints what came of it. `false` if nothing came through.
pub(super) fn run(args: &LoadArgs) -> anyhow::Result<bool> {
    args.check()?;
    let process = args.pid.map(Process::new).transpose()?;
    let memory = |process: &Option<Process>| process.as_ref().map(Process::memory).transpose();
    let before = memory(&process)?;

    let bindings = client::count_bindings(args.server, args.binding)?;
    let started = Instant::now();
    let (mut clients, peer, allocating, bare);
    if args.framing == Framing::None {
        (clients, peer) = plain::open(args)?;
        (allocating, bare) = (None, None);
    } else {
        let (username, password) = args.credentials()?;
        clients = Clients::allocate(args, &username, &password)?;
        allocating = Some(started.elapsed());
        bare = memory(&process)?;
        peer = clients.open_ways(args)?;
    }
    let ready = memory(&process)?;
    let traffic = traffic::run(args, &mut clients, peer, process.as_ref())?;
    if args.framing != Framing::None {
        clients.close();
    }

    let each = |after: Option<u64>| {
        let grown = after?.saturating_sub(before?);
        Some(grown as f64 / args.clients as f64)
    };
    let report = Report {
        clients: args.clients,
        allocations_per_second: allocating.map(|took| args.clients as f64 / took.as_secs_f64()),
        bindings_per_second: bindings,
        memory_per_allocation: each(bare),
        memory_per_allocation_with_channel: each(ready),
        traffic,
    };
    report.print(args.json);
    Ok(report.traffic.received > 0)
}
