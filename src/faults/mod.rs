//! Faults on demand: the document of `PUT /api/v1/faults` and `--faults`, and its answer.
//!
//! The document is checked here and translated to the rules of the parts that inject the faults:
//! `callbox-turn` for requests, `callbox-relay` for packets, and the hub's task for sessions and
//! events.

mod actions;
mod document;
mod error;
mod events;
mod packets;
mod report;
mod requests;
#[cfg(test)]
mod tests;

pub use self::{
    actions::FaultAction,
    document::{FaultDocument, MAX_RULES},
    error::FaultError,
    events::{EventEffect, EventFault},
    packets::{PacketDirection, PacketFault},
    report::{ActionResult, FaultReport, InjectedFaults},
    requests::{RequestFault, RequestMethod, RequestOutcome},
};
