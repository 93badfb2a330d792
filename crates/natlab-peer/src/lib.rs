//! The peers of `callbox natlab matrix`: one half of a real ICE connection each.
//!
//! A peer speaks with the other one through its stdin and stdout, a [`Line`] each way at a time,
//! which somebody has to carry. So the peers need no network for signaling, and can be in networks
//! that do not know each other. The last line of a peer is its [`Outcome`].
//!
//! - The built-in peer is the ICE agent of webrtc-rs. It reaches a TURN server over UDP, TCP or
//!   TLS, the latter two through a forward proxy if there is one (`bridge`).
//! - The other one is Chromium with a data channel (`browser`).
#![forbid(unsafe_code)]

mod agent;
mod args;
mod bridge;
mod browser;
mod line;
mod outcome;
mod packets;
mod pipes;

pub use self::{
    args::PeerArgs,
    line::{Credentials, Line},
    outcome::{CandidateType, Endpoint, Outcome, Selected, Transport},
};

/// Runs a peer until it has printed its outcome. The exit code is 1 if it found no path.
///
/// # Errors
/// An argument is wrong, or the browser cannot be started.
pub fn run(args: &PeerArgs) -> anyhow::Result<u8> {
    let outcome = match args.browser() {
        Some(browser) => browser::run(args, browser)?,
        None => agent::run(args)?,
    };
    pipes::print(&outcome)?;
    Ok(match outcome {
        Outcome::Selected(_) => 0,
        Outcome::Failed { .. } => 1,
    })
}
