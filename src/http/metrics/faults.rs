//! The metrics of faults that tests ask for.

use std::fmt;

use super::families::{Families, one};
use crate::faults::InjectedFaults;

/// Writes the metrics of faults; `injected` is `None` if none are allowed.
pub(super) fn write(families: &mut Families<'_>, injected: Option<&InjectedFaults>) -> fmt::Result {
    families.gauge(
        "callbox_faults_allowed",
        "1 if the server runs with --allow-faults, which is for tests alone; else 0.",
        one(u64::from(injected.is_some())),
    )?;
    let Some(injected) = injected else { return Ok(()) };
    let kinds = [
        ("packet_lost", injected.packets_lost),
        ("packet_delayed", injected.packets_delayed),
        ("packet_reordered", injected.packets_reordered),
        ("packet_duplicated", injected.packets_duplicated),
        ("packet_overflowed", injected.packets_overflowed),
        ("request_answered", injected.requests_answered),
        ("request_silenced", injected.requests_silenced),
        ("event_dropped", injected.events_dropped),
        ("event_delayed", injected.events_delayed),
        ("event_duplicated", injected.events_duplicated),
    ];
    families.counter(
        "callbox_injected_faults",
        "Faults that tests have asked for, by kind.",
        kinds.map(|(kind, count)| (vec![("kind", kind)], count)),
    )
}
