//! The steps of a check with their times, errors and hints.

use std::time::{Duration, Instant};

use callbox_cli::{explain, say};
use serde::Serialize;
use serde_json::json;

/// The steps so far.
pub(super) struct Report {
    json: bool,
    deadline: Duration,
    steps: Vec<Step>,
}

/// The outcome of a step, or of a case of the conformance suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Failed,
    Skipped,
}

impl Status {
    /// Returns the first word of a line about it.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// Returns a time in milliseconds, rounded to hundredths.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

#[derive(Debug, Serialize)]
struct Step {
    name: String,
    status: Status,
    ms: f64,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Report {
    pub(crate) fn new(json: bool, deadline: Duration) -> Self {
        Self { json, deadline, steps: Vec::new() }
    }

    /// Takes a step, which has to end before the deadline. It returns the detail for the report and
    /// a value for later steps.
    pub(crate) async fn step<T>(
        &mut self,
        name: &str,
        hint: &str,
        step: impl Future<Output = anyhow::Result<(String, T)>>,
    ) -> Option<T> {
        let began = Instant::now();
        let result = tokio::time::timeout(self.deadline, step).await;
        let ms = milliseconds(began.elapsed());
        let result = result.unwrap_or_else(|_| {
            let deadline = humantime::format_duration(self.deadline);
            Err(anyhow::anyhow!("nothing within {deadline}"))
        });
        let name = name.to_owned();
        match result {
            Ok((detail, value)) => {
                self.add(Step { name, status: Status::Ok, ms, detail, hint: None });
                Some(value)
            }
            Err(error) => {
                let (detail, hint) = (explain(&error), Some(hint.to_owned()));
                self.add(Step { name, status: Status::Failed, ms, detail, hint });
                None
            }
        }
    }

    /// Leaves a step out, for this reason.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        let (name, detail) = (name.to_owned(), why.to_owned());
        self.add(Step { name, status: Status::Skipped, ms: 0.0, detail, hint: None });
    }

    fn add(&mut self, step: Step) {
        if !self.json {
            print(&step);
        }
        self.steps.push(step);
    }

    /// Prints the result; returns true if no step failed.
    pub(crate) fn finish(self) -> anyhow::Result<bool> {
        let count = |status| self.steps.iter().filter(|step| step.status == status).count();
        let failed = count(Status::Failed);
        if self.json {
            let report = json!({ "ok": failed == 0, "steps": self.steps });
            say!("{}", serde_json::to_string(&report)?);
        } else {
            let skipped = match count(Status::Skipped) {
                0 => String::new(),
                skipped => format!(", {skipped} skipped"),
            };
            say!("\n{} ok, {failed} failed{skipped}", count(Status::Ok));
        }
        Ok(failed == 0)
    }
}

/// Prints a row of the table.
fn print(step: &Step) {
    let time = match step.status {
        Status::Ok | Status::Failed => format!("{:.1} ms", step.ms),
        Status::Skipped => String::new(),
    };
    say!("{:<8}{:<34}{time:>12}  {}", step.status.mark(), step.name, step.detail);
    if let Some(hint) = &step.hint {
        say!("{:<8}hint: {hint}", "");
    }
}
