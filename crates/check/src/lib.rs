//! `callbox check`: goes through a running server as a client would. With --conformance: judges any
//! STUN or TURN server by what comes over the wire, which is read with the crates of webrtc-rs
//! alone.
#![forbid(unsafe_code)]

mod answers;
mod args;
mod call;
mod conformance;
mod hints;
mod http;
mod ice_servers;
mod relay;
mod report;
mod server;
mod signaling;
mod steps;
mod stream;
mod tls;
mod turn_client;

use anyhow::Context;

pub use self::args::CheckArgs;
use self::report::Report;

/// Takes the steps; returns true if all went well.
///
/// # Errors
/// A step cannot even begin, or the report cannot be made. A step that fails is no error.
pub fn run(args: CheckArgs) -> anyhow::Result<bool> {
    if let Some(server) = &args.conformance.conformance {
        let ca_cert = args.ca_cert();
        return conformance::run(&args.conformance, server, args.json, args.timeout.0, ca_cert);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut report = Report::new(args.json, args.timeout.0);
    runtime.block_on(steps::run(&args, &mut report));
    report.finish()
}
