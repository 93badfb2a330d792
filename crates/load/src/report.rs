//! The results of a load.

use callbox_cli::say;
use serde::Serialize;

use super::traffic::Traffic;

/// The numbers of one run. Those that were not asked for are left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub clients: usize,
    /// Allocations a second, from the first request to the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_allocation: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bindings_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_binding: Option<f64>,
    #[serde(flatten)]
    pub memory: Option<Memory>,
    #[serde(flatten)]
    pub traffic: Option<Traffic>,
}

/// The server's memory, in bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_per_allocation: Option<f64>,
    /// The memory of an allocation with a permission and its channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_per_allocation_with_channel: Option<f64>,
    /// The memory before the run, and a while after it.
    memory_before: u64,
    memory_after: u64,
    /// The memory that the server has kept.
    memory_after_close: u64,
}

impl Memory {
    /// Creates it from the resident memory at the start, with bare allocations (`None` if there
    /// were none), with all that the clients needed, and at the end.
    pub(crate) fn new(
        clients: usize,
        before: u64,
        bare: Option<u64>,
        ready: u64,
        after: u64,
    ) -> Self {
        let each = |memory: u64| memory.saturating_sub(before) as f64 / clients as f64;
        Self {
            memory_per_allocation: bare.map(each),
            memory_per_allocation_with_channel: bare.map(|_| each(ready)),
            memory_before: before,
            memory_after: after,
            memory_after_close: after.saturating_sub(before),
        }
    }
}

/// Prints a line of a table for a person.
pub(super) fn line(name: &str, text: String) {
    say!("{name:<28}{text}");
}

impl Report {
    /// Prints the numbers: one JSON object, or a table for a person.
    pub(crate) fn print(&self, json: bool) {
        if json {
            say!("{}", serde_json::json!(self));
            return;
        }
        let cost = |cpu: Option<f64>| cpu.map_or(String::new(), |us| format!(", {us:.2} µs each"));
        line("clients", self.clients.to_string());
        if let Some(allocations) = self.allocations_per_second {
            let each = cost(self.cpu_us_per_allocation);
            line("allocations", format!("{allocations:.0} a second{each}"));
        }
        if let Some(bindings) = self.bindings_per_second {
            let each = cost(self.cpu_us_per_binding);
            line("Binding requests", format!("{bindings:.0} a second{each}"));
        }
        if let Some(traffic) = &self.traffic {
            print_traffic(traffic);
        }
        if let Some(memory) = &self.memory {
            if let (Some(bare), Some(ready)) =
                (memory.memory_per_allocation, memory.memory_per_allocation_with_channel)
            {
                let text = format!("{bare:.0} bytes an allocation, {ready:.0} with a channel");
                line("server's memory", text);
            }
            let (before, after) = (memory.memory_before, memory.memory_after);
            line("before and after", format!("{before} and {after} bytes"));
        }
    }
}

/// Prints the lines about packets.
fn print_traffic(traffic: &Traffic) {
    line("packets", format!("{} sent, {} received", traffic.sent, traffic.received));
    let own = match traffic.lost_by_load {
        0 => String::new(),
        lost => format!(", {lost} packets of it by the load itself"),
    };
    line("lost", format!("{:.3} %{own}", traffic.loss_percent));
    line("delivered", format!("{:.0} packets a second", traffic.packets_per_second));
    let l = &traffic.latency_us;
    line(
        "latency",
        format!(
            "median {:.1} µs, 90 % {:.1}, 99 % {:.1}, at most {:.1}",
            l.median, l.p90, l.p99, l.max
        ),
    );
    line("the load itself", format!("{:.0} % busy", traffic.load_busy_percent));
    if let Some(cpu) = traffic.cpu_us_per_packet {
        line("server's CPU time", format!("{cpu:.2} µs a packet"));
    }
    if let Some(waited) = traffic.waited_percent {
        line("waited for a core", format!("{waited:.0} % of the time"));
    }
    if traffic.renewals > 0 {
        let refused = traffic.renewals_refused;
        line("renewals", format!("{}, {refused} requests refused", traffic.renewals));
    }
    if traffic.churned > 0 {
        line("left and came again", format!("{} clients", traffic.churned));
    }
}
