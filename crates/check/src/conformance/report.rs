//! The outcomes of the cases: a line each, or one JSON object.

use std::time::Duration;

use callbox_cli::say;
use serde::Serialize;
use serde_json::json;

use super::{
    case::Case,
    target::Target,
    verdict::{Fault, Verdict},
};
use crate::report::{Status, milliseconds};

/// The outcomes of the cases so far.
pub(super) struct Report {
    json: bool,
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    name: &'static str,
    section: &'static str,
    must: &'static str,
    status: Status,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    came: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report {
    /// Creates a report without cases.
    pub(super) fn new(json: bool) -> Self {
        Self { json, outcomes: Vec::new() }
    }

    /// Adds the outcome of a case.
    pub(super) fn add(&mut self, case: &Case, verdict: Verdict, took: Duration) {
        let Case { name, section, must, .. } = *case;
        let (status, expected, came, reason) = match verdict {
            Ok(()) => (Status::Ok, None, None, None),
            Err(Fault::Failed { expected, came }) => {
                (Status::Failed, Some(expected), Some(came), None)
            }
            Err(Fault::Skipped(reason)) => (Status::Skipped, None, None, Some(reason)),
        };
        let ms = milliseconds(took);
        let outcome = Outcome { name, section, must, status, ms, expected, came, reason };
        if !self.json {
            print(&outcome);
        }
        self.outcomes.push(outcome);
    }

    /// Prints the result; returns true if no case failed.
    pub(super) fn finish(self, target: &Target) -> anyhow::Result<bool> {
        let count = |status| self.outcomes.iter().filter(|o| o.status == status).count();
        let (passed, failed, skipped) =
            (count(Status::Ok), count(Status::Failed), count(Status::Skipped));
        if self.json {
            let report = json!({
                "ok": failed == 0,
                "server": target.server,
                "transport": target.transport.name(),
                "passed": passed,
                "failed": failed,
                "skipped": skipped,
                "cases": self.outcomes,
            });
            say!("{}", serde_json::to_string(&report)?);
        } else {
            say!("\n{passed} ok, {failed} failed, {skipped} skipped");
        }
        Ok(failed == 0)
    }
}

/// Prints the line of a case.
fn print(outcome: &Outcome) {
    let Outcome { name, section, status, expected, came, reason, .. } = outcome;
    let mark = status.mark();
    let detail = match (expected, came, reason) {
        (Some(expected), Some(came), _) => format!("expected {expected}; came {came}"),
        (_, _, Some(reason)) => reason.clone(),
        _ => String::new(),
    };
    let line = format!("{mark:<8}{name:<34}{section:<20}{detail}");
    say!("{}", line.trim_end());
}
