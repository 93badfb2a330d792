//! `callbox check --conformance`: judges by the RFCs how a STUN or TURN server behaves. It works on
//! blocking sockets, one case after the other.
//!
//! A case opens clients of its own ([`client`]), sends any message ([`request`]) and judges the
//! answers ([`answer`]) and the data that arrives ([`delivery`]). Messages are read with the `stun`
//! crate and not with the code that the server has, or both could be wrong in the same way. For the
//! same reason this client shares nothing with `callbox-client`.

mod answer;
mod args;
mod asker;
mod case;
mod cases;
mod client;
mod data;
mod delivery;
mod integrity;
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
use self::{client::Client, report::Report, request::Request, target::Target, verdict::Fault};

/// Runs the cases; returns true if none failed.
pub(super) fn run(
    args: &ConformanceArgs,
    server: &str,
    json: bool,
    timeout: Duration,
    ca_cert: Option<&Path>,
) -> anyhow::Result<bool> {
    let target = args.target(server, timeout, ca_cert)?;
    let wanted: Vec<_> = cases::all()
        .filter(|case| target.transport.is_one_of(case.transports))
        .filter(|case| args.wants(case.name))
        .collect();
    ensure!(!wanted.is_empty(), "--only: no case has such a name");
    ensure_answers(&target)?;
    let mut report = Report::new(json);
    for case in wanted {
        let began = Instant::now();
        let verdict = (case.run)(&target);
        report.add(case, verdict, began.elapsed());
    }
    report.finish(&target)
}

/// Fails if nothing answers, where every case would wait for nothing, or if the password is wrong,
/// which would fail most of them.
fn ensure_answers(target: &Target) -> anyhow::Result<()> {
    let exchanged =
        |request: Request| Client::connect(target).and_then(|mut client| client.exchange(&request));
    let (server, transport) = (target.server, target.transport.name());
    if exchanged(Request::binding()).is_err()
        && let Err(Fault::Failed { came, .. }) = exchanged(Request::allocate())
    {
        bail!("{server} answers neither Binding nor Allocate over {transport}: {came}");
    }
    let first = Client::challenged(target).and_then(|mut client| client.ask(&target.allocate()));
    if let Ok(answer) = first
        && answer.code() == Some(401)
    {
        bail!(
            "{server} answers a signed Allocate with 401; are name and password, or secret, right?"
        );
    }
    Ok(())
}
