//! The metrics of reports: records of calls, and events for the webhook.

use std::fmt;

use super::families::{Families, one};
use crate::reports::Snapshot;

/// Writes the metrics of the reports that are configured.
pub(super) fn write(families: &mut Families<'_>, reports: &Snapshot) -> fmt::Result {
    if let Some(records) = reports.records {
        families.counter(
            "callbox_call_records",
            "Records of calls, written and dropped.",
            [
                (vec![("fate", "written")], records.written),
                (vec![("fate", "dropped")], records.dropped),
            ],
        )?;
    }
    let Some(webhook) = reports.webhook else { return Ok(()) };
    families.counter(
        "callbox_webhook_events",
        "Events for the webhook, by what became of them.",
        [
            (vec![("fate", "delivered")], webhook.delivered),
            (vec![("fate", "refused")], webhook.refused),
            (vec![("fate", "dropped")], webhook.dropped),
        ],
    )?;
    families.counter(
        "callbox_webhook_failures",
        "Deliveries to the webhook that failed and are made again.",
        one(webhook.failures),
    )?;
    families.gauge(
        "callbox_webhook_waiting",
        "Events that wait for the webhook now.",
        one(webhook.waiting as u64),
    )?;
    families.gauge(
        "callbox_webhook_waiting_bytes",
        "What these weigh.",
        one(webhook.waiting_bytes as u64),
    )
}
