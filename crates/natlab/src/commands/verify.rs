//! `callbox natlab verify`: measures a NAT from inside, and compares it with its kind.

use std::{
    io::Read,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use callbox_cli::say;
use clap::Args;
use serde::Serialize;

use crate::{
    error::{LabError, Tried},
    kind::{Kind, Nat},
    lab::Lab,
    plan::Plan,
    process::{Stream, Task},
    verify::{Check, Measured, checks, measure},
};

/// The number of labs at a time: most of the time they wait.
const AT_A_TIME: usize = 6;

/// Measure a NAT of a kind from inside, and say whether it is what was asked for.
///
/// NAT behavior discovery (RFC 5780) by the lab's own STUN server finds the mapping, the filtering
/// and hairpinning; besides, the choice of ports, the number of routers, and which TCP ports are
/// open. The lifetime of mappings is measured if it is ten seconds at most. The exit code is 1 if
/// anything is not as it should be.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The kinds; without one, one of each.
    kinds: Vec<Kind>,

    /// Print a line of JSON for each kind.
    #[arg(long)]
    json: bool,
}

/// The results for a kind.
#[derive(Debug, Serialize)]
struct Verdict {
    kind: Kind,
    ok: bool,
    checks: Vec<Check>,
}

/// Verifies each kind in a lab of its own.
pub(super) fn run(args: &VerifyArgs) -> Result<u8, LabError> {
    let kinds = match &args.kinds[..] {
        [] => Kind::named()
            .iter()
            .map(|name| name.parse().map_err(|error| LabError::new(format!("{error}"))))
            .collect::<Result<Vec<_>, _>>()?,
        kinds => kinds.to_vec(),
    };
    let queue = Mutex::new(kinds.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let result: Result<Vec<bool>, LabError> = thread::scope(|scope| {
        let work = || {
            let mut is_ok = true;
            while let Some(kind) = next() {
                let verdict = verify(kind)?;
                is_ok &= verdict.ok;
                print(&verdict, args.json);
            }
            Ok(is_ok)
        };
        let workers: Vec<_> = (0..AT_A_TIME.min(kinds.len())).map(|_| scope.spawn(work)).collect();
        let failed = |_| Err(LabError::new("a measurement has failed"));
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(failed)).collect()
    });
    Ok(if result?.iter().all(|is_ok| *is_ok) { 0 } else { 1 })
}

/// Measures a NAT of this kind.
fn verify(kind: &Kind) -> Result<Verdict, LabError> {
    let mut plan = Plan::new();
    plan.add("a", *kind)?;
    let lab = Lab::start(&plan)?;
    let mut task = Task::new("/proc/self/exe");
    task.args(["natlab", "probe"]).stdin(Stream::Null).stdout(Stream::Piped);
    let mut process = lab.spawn("a", task)?;
    let mut text = String::new();
    if let Some(mut stdout) = process.take_stdout() {
        stdout.read_to_string(&mut text).tried("the measurement cannot be read")?;
    }
    process.wait()?;
    let measured: Measured = serde_json::from_str(&text)
        .map_err(|_| LabError::new(format!("the measurement of {kind} has failed")))?;
    let checks = checks(kind, &measured);
    Ok(Verdict { kind: *kind, ok: checks.iter().all(Check::holds), checks })
}

fn print(verdict: &Verdict, json: bool) {
    if json {
        // Only a map with keys that are no texts cannot be written.
        say!("{}", serde_json::to_string(verdict).unwrap_or_default());
        return;
    }
    let mut text = format!("{}: {}", verdict.kind, if verdict.ok { "ok" } else { "NOT AS ASKED" });
    for check in &verdict.checks {
        let Check { property, expected, measured } = check;
        match check.holds() {
            true => text.push_str(&format!("\n  {property:<17} {measured}")),
            false => {
                text.push_str(&format!("\n  {property:<17} {measured}, expected {expected}"));
            }
        }
    }
    say!("{text}");
}

/// Measures the network of the side that this process is on, and prints the results.
pub(super) fn probe() -> Result<u8, LabError> {
    let kind = std::env::var("NATLAB_KIND").ok().and_then(|kind| kind.parse::<Kind>().ok());
    let lifetime = kind.as_ref().and_then(Kind::nat).map_or(Duration::MAX, Nat::timeout);
    let measured = measure(lifetime)?;
    let text = serde_json::to_string(&measured)
        .map_err(|error| LabError::system("the measurement cannot be written", error))?;
    say!("{text}");
    Ok(0)
}
