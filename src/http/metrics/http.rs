//! The metrics of the HTTP side: connections, requests and errors.

use std::fmt;

use callbox_signaling::Stats;

use super::families::{Families, one};
use crate::http::counters::{Counters, Curb, Front, Refusal};

/// Writes the metrics of the HTTP side, and the errors of hub and HTTP side together.
pub(super) fn write(
    families: &mut Families<'_>,
    http: &Counters,
    request_memory: u64,
    hub: &Stats,
) -> fmt::Result {
    let by_front = |value: &dyn Fn(Front) -> u64| {
        Front::ALL.map(|front| (vec![("front", front.label())], value(front)))
    };
    families.gauge(
        "callbox_connections",
        "Signaling connections now, by front.",
        by_front(&|front| http.sessions(front).get()),
    )?;
    families.gauge(
        "callbox_tcp_connections",
        "TCP connections now: of HTTP, WebSockets and the relay.",
        one(http.connections.get()),
    )?;
    families.counter(
        "callbox_refused_connections",
        "TCP connections and Socket.IO handshakes turned away, by the limit they met.",
        Refusal::ALL.map(|r| (vec![("limit", r.label())], http.refusals(r).get())),
    )?;
    families.gauge(
        "callbox_request_memory_bytes",
        "Bytes that requests of HTTP and their answers hold now.",
        one(request_memory),
    )?;
    families.counter(
        "callbox_curbed_requests",
        "Requests of HTTP refused or ended for what they hold, by reason.",
        Curb::ALL.map(|curb| (vec![("reason", curb.label())], http.curbs(curb).get())),
    )?;
    families.counter(
        "callbox_bad_frames",
        "Frames that were no messages of the protocol, by front.",
        by_front(&|front| http.bad_frames(front).get()),
    )?;
    families.counter(
        "callbox_slow_sessions",
        "Sessions ended because their client did not read.",
        one(http.slow_sessions.get()),
    )?;
    let errors =
        hub.counters.errors.iter().map(|(code, by_hub)| {
            (vec![("code", code.as_str())], by_hub + http.errors(code).get())
        });
    families.counter("callbox_errors", "Requests and connections refused, by code.", errors)
}
