//! What came of a load.

use serde::Serialize;

use super::traffic::Traffic;

/// The numbers of one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub clients: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bindings_per_second: Option<f64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_per_allocation: Option<f64>,
    /// Bytes, with a permission and its channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_per_allocation_with_channel: Option<f64>,
    #[serde(flatten)]
    pub traffic: Traffic,
}

impl Report {
    /// Prints the numbers: one JSON object, or a table for a person.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
        }
        let line = |name: &str, text: String| println!("{name:<28}{text}");
        let t = &self.traffic;
        line("clients", self.clients.to_string());
        if let Some(allocations) = self.allocations_per_second {
            line("allocations", format!("{allocations:.0} a second"));
        }
        if let Some(bindings) = self.bindings_per_second {
            line("Binding requests", format!("{bindings:.0} a second"));
        }
        line("packets", format!("{} sent, {} received", t.sent, t.received));
        line("lost", format!("{:.3} %", t.loss_percent));
        line("delivered", format!("{:.0} packets a second", t.packets_per_second));
        line(
            "latency",
            format!(
                "median {:.1} µs, 90 % {:.1}, 99 % {:.1}, at most {:.1}",
                t.latency_us.median, t.latency_us.p90, t.latency_us.p99, t.latency_us.max
            ),
        );
        line("the load itself", format!("{:.0} % busy", t.load_busy_percent));
        if let Some(cpu) = t.cpu_us_per_packet {
            line("server's CPU time", format!("{cpu:.2} µs a packet"));
        }
        if let (Some(bare), Some(ready)) =
            (self.memory_per_allocation, self.memory_per_allocation_with_channel)
        {
            let text = format!("{bare:.0} bytes an allocation, {ready:.0} with a channel");
            line("server's memory", text);
        }
    }
}
