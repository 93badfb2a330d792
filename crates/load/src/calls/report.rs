//! The results of a load of calls.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::statistics::{Statistics, Step, Steps};
use crate::{process::Used, report::line};

/// The numbers of one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallsReport {
    pairs: usize,
    /// The calls that were to begin in a second, and those that were completed.
    rate: u64,
    calls_per_second: f64,
    /// The calls that were to begin.
    calls: u64,
    pub completed: u64,
    failed: u64,
    /// The calls that were not over when the load was.
    unfinished: u64,
    /// The number of failed calls for each reason.
    errors: BTreeMap<String, u64>,
    latency_us: BTreeMap<&'static str, Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_call: Option<f64>,
    /// The part of one core that the server has used.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent_of_core: Option<f64>,
    /// The part of its time in which the load itself had something to do. Near 100 it was the
    /// limit, and not the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_busy_percent: Option<f64>,
    /// The time for which server and load waited for a core that another process had, in percent of
    /// the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_percent: Option<f64>,
}

/// The times of a step.
#[derive(Debug, Serialize)]
struct Latency {
    count: u64,
    median: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    fn of(step: &Steps) -> Self {
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        Self {
            count: step.count,
            median: micros(step.latencies.quantile(0.5)),
            p99: micros(step.latencies.quantile(0.99)),
            max: micros(step.latencies.max()),
        }
    }
}

impl CallsReport {
    /// Creates a report of a run whose last call was over after `took`.
    pub(super) fn new(
        pairs: usize,
        rate: u64,
        calls: u64,
        statistics: &Statistics,
        took: Duration,
        used: &Used,
    ) -> Self {
        let part = |time: Duration| 100.0 * time.as_secs_f64() / used.wall.as_secs_f64();
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / statistics.completed.max(1) as f64;
        Self {
            pairs,
            rate,
            calls_per_second: statistics.completed as f64 / took.as_secs_f64(),
            calls,
            completed: statistics.completed,
            failed: statistics.failed,
            unfinished: calls.saturating_sub(statistics.completed + statistics.failed),
            errors: statistics.errors.clone(),
            latency_us: Step::ALL
                .into_iter()
                .map(|step| (step.names().0, Latency::of(statistics.step(step))))
                .collect(),
            cpu_us_per_call: used.server.map(each),
            cpu_percent_of_core: used.server.map(part),
            load_busy_percent: used.own.map(part),
            waited_percent: used.waited.map(part),
        }
    }

    /// Prints the table for a person.
    pub(super) fn print(&self) {
        line("pairs of users", self.pairs.to_string());
        let (rate, done) = (self.rate, self.calls_per_second);
        line("calls", format!("{rate} a second to be made, {done:.0} a second made"));
        let (completed, failed, unfinished) = (self.completed, self.failed, self.unfinished);
        line("of them", format!("{completed} completed, {failed} failed, {unfinished} unfinished"));
        for (reason, count) in &self.errors {
            line("failed", format!("{count}: {reason}"));
        }
        for step in Step::ALL {
            let (key, name) = step.names();
            let Some(l) = self.latency_us.get(key) else { continue };
            let (median, p99, max) = (l.median, l.p99, l.max);
            line(
                name,
                format!("median {median:.0} µs, 99 % {p99:.0}, at most {max:.0} ({})", l.count),
            );
        }
        if let Some((cpu, percent)) = self.cpu_us_per_call.zip(self.cpu_percent_of_core) {
            line("server's CPU time", format!("{cpu:.0} µs a call, {percent:.0} % of one core"));
        }
        if let Some(busy) = self.load_busy_percent {
            line("the load itself", format!("{busy:.0} % busy"));
        }
        if let Some(waited) = self.waited_percent {
            line("waited for a core", format!("{waited:.0} % of the time"));
        }
    }
}
