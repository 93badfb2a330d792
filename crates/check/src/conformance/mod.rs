//! `callbox check --conformance`: whether a STUN or TURN server does what the RFCs say, seen from
//! outside. It works on sockets that block: one thing is tried after the other.
//!
//! A case begins with clients of its own ([`target`]), sends what it likes ([`request`]) and judges
//! what comes ([`answer`], [`delivery`]). What a message says is read with the `stun` crate and not
//! with the code that the server has, or both could be wrong in the same way.

mod answer;
mod args;
mod asker;
mod cases;
mod client;
mod delivery;
mod link;
mod login;
mod peer;
mod report;
mod request;
mod target;
mod tcp_peer;
mod token;
mod verdict;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};

pub(super) use self::args::ConformanceArgs;
use self::{
    report::Report,
    request::Request,
    target::Target,
    verdict::{Fault, Over},
};

/// Runs the cases; whether none failed.
pub(super) fn run(
    args: &ConformanceArgs,
    server: &str,
    json: bool,
    patience: Duration,
    ca_cert: Option<&Path>,
) -> anyhow::Result<bool> {
    let target = args.target(server, patience, ca_cert)?;
    let over = target.way.over();
    let wanted: Vec<_> = cases::all()
        .filter(|case| case.over == Over::Any || case.over == over)
        .filter(|case| args.wants(case.name))
        .collect();
    ensure!(!wanted.is_empty(), "--only: no case has such a name");
    is_there(&target)?;
    let mut report = Report::new(json);
    for case in wanted {
        let began = Instant::now();
        let verdict = (case.run)(&target);
        report.add(case, verdict, began.elapsed());
    }
    report.finish(&target)
}

/// Where nothing answers, every case would wait for nothing; and a password that is wrong would
/// fail most of them.
fn is_there(target: &Target) -> anyhow::Result<()> {
    let asked = |request: Request| target.client().and_then(|mut c| c.exchange(&request));
    let (server, transport) = (target.server, target.way.name());
    if asked(Request::binding()).is_err()
        && let Err(Fault::Failed { came, .. }) = asked(Request::allocate())
    {
        bail!("{server} answers neither Binding nor Allocate over {transport}: {came}");
    }
    let first = target.challenged().and_then(|mut client| client.ask(&target.allocate()));
    if let Ok(answer) = first
        && answer.code() == Some(401)
    {
        bail!(
            "{server} answers a signed Allocate with 401; are name and password, or secret, right?"
        );
    }
    Ok(())
}
