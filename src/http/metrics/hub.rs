//! The metrics of the hub: calls, sessions and users.

use std::fmt;

use callbox_signaling::Stats;

use super::families::{Families, by_word, one};

/// Writes the metrics of the hub.
pub(super) fn write(families: &mut Families<'_>, hub: &Stats) -> fmt::Result {
    let counters = &hub.counters;
    families.gauge(
        "callbox_calls",
        "Live calls now, by state.",
        by_word("state", &hub.calls, |state| state.as_str()),
    )?;
    families.gauge("callbox_rooms", "Those of them that are rooms.", one(hub.rooms as u64))?;
    families.gauge(
        "callbox_room_participants",
        "Participants of rooms now.",
        one(hub.room_participants as u64),
    )?;
    families.counter("callbox_calls_started", "Calls begun.", one(counters.calls_started))?;
    families.counter(
        "callbox_calls_ended",
        "Calls ended, by reason.",
        by_word("reason", &counters.calls_ended, |reason| reason.as_str()),
    )?;
    families.gauge("callbox_sessions", "Signaling sessions now.", one(hub.sessions as u64))?;
    families.gauge(
        "callbox_sessions_away",
        "Those of them that have lost their connection and can be resumed.",
        one(hub.sessions_away as u64),
    )?;
    families.gauge(
        "callbox_unacknowledged_bytes",
        "Bytes of events that sessions have not acknowledged.",
        one(hub.unacknowledged_bytes as u64),
    )?;
    families.gauge("callbox_users", "Users in a session or a call now.", one(hub.users as u64))?;
    families.gauge(
        "callbox_presence_subscriptions",
        "Users whose presence a session hears of, over all sessions, now.",
        one(hub.watches as u64),
    )?;
    families.counter(
        "callbox_sessions_opened",
        "Signaling sessions opened.",
        one(counters.sessions_opened),
    )?;
    families.counter(
        "callbox_sessions_resumed",
        "Signaling sessions that went on over another connection.",
        one(counters.sessions_resumed),
    )?;
    families.counter(
        "callbox_sessions_closed",
        "Signaling sessions that the server closed or refused, by reason.",
        by_word("reason", &counters.sessions_closed, |reason| reason.as_str()),
    )?;
    let mut events = by_word("event", &counters.events, |name| name.as_str());
    events.push((vec![("event", "unknown")], counters.unknown_events));
    families.counter("callbox_events", "Events received, by name.", events)?;
    families.counter(
        "callbox_candidates",
        "ICE candidates relayed, kept for a while, refused and dropped.",
        [
            (vec![("fate", "relayed")], counters.candidates_relayed),
            (vec![("fate", "kept")], counters.candidates_kept),
            (vec![("fate", "refused")], counters.candidates_refused),
            (vec![("fate", "dropped")], counters.candidates_dropped),
        ],
    )?;
    families.counter(
        "callbox_descriptions",
        "Offers and answers relayed.",
        one(counters.descriptions_relayed),
    )?;
    families.gauge(
        "callbox_journal_bytes",
        "Bytes kept for sides of calls that cannot get them yet.",
        one(hub.journal_bytes as u64),
    )?;
    families.gauge(
        "callbox_remembered_bytes",
        "Bytes of what was relayed, kept for devices that come back without their session.",
        one(hub.remembered_bytes as u64),
    )?;
    families.gauge("callbox_timers", "Timers of the hub running now.", one(hub.timers as u64))
}
