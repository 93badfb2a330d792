//! The metrics of the relay.

use std::fmt;

use callbox_turn::Snapshot;

use super::families::{Families, one, up_and_down};

/// Writes the metrics of the relay.
pub(super) fn write(families: &mut Families<'_>, relay: &Snapshot) -> fmt::Result {
    families.gauge("callbox_allocations", "TURN allocations now.", one(relay.allocations))?;
    families.counter(
        "callbox_allocations_opened",
        "TURN allocations opened.",
        one(relay.allocations_opened),
    )?;
    families.counter(
        "callbox_relayed_packets",
        "Packets relayed: up from clients to peers, down from peers to clients.",
        up_and_down(relay.packets_up, relay.packets_down),
    )?;
    families.counter(
        "callbox_relayed_bytes",
        "Bytes of payload relayed: up from clients to peers, down from peers to clients.",
        up_and_down(relay.bytes_up, relay.bytes_down),
    )?;
    families.counter(
        "callbox_drops",
        "Datagrams that the relay dropped, by reason.",
        relay.drops.iter().map(|(reason, count)| (vec![("reason", *reason)], *count)),
    )?;
    families.gauge(
        "callbox_relay_streams",
        "Clients of the relay over TCP and TLS now.",
        [("tcp", 0), ("tls", 1)].map(|(t, at)| (vec![("transport", t)], relay.streams[at])),
    )?;
    families.counter(
        "callbox_relay_streams_ended",
        "Clients of the relay over TCP and TLS that are gone, by reason.",
        relay.stream_ends.iter().map(|(reason, count)| (vec![("reason", *reason)], *count)),
    )?;
    families.gauge(
        "callbox_peer_connections",
        "Connections to peers of TCP allocations now.",
        one(relay.peer_connections),
    )?;
    // Their number is methods times error codes, and most never occur.
    let requests = relay.requests.iter().filter(|(_, _, count)| *count > 0);
    families.counter(
        "callbox_stun_requests",
        "STUN and TURN requests, by method and by success or error code.",
        requests.map(|(method, result, count)| {
            (vec![("method", *method), ("result", *result)], *count)
        }),
    )
}
