//! ICMP errors of datagrams that did not reach their peer (RFC 8656 §11.5).

use std::net::SocketAddr;

use callbox_base::clock::Now;
use callbox_stun::{Icmp, TransactionId, icmp_indication};
use rand::Rng;

use super::Engine;
use crate::{AllocationId, Output};

/// The milliseconds in which a client is told once of one peer's address: an error there may be for
/// each datagram that it sends.
const PERIOD_MS: u64 = 100;

/// Tells a client of an ICMP error that a datagram to `to` has met with, if it has a permission for
/// that address and hears of such errors.
pub(super) fn handle(engine: &mut Engine, now: Now, id: AllocationId, to: SocketAddr, icmp: Icmp) {
    let peer = engine.common.addresses.from_wire(to).0;
    let period = (now.unix_ms() / PERIOD_MS) as u32;
    let Ok(allocation) = engine.allocations.open_mut(id) else { return };
    // "only addresses are compared and port numbers are not considered"
    if !allocation.hears_icmp()
        || !icmp.is_relayed()
        || !allocation.permissions_mut().may_report_icmp(peer.ip(), period)
    {
        return;
    }
    let to = allocation.tuple();
    let transaction = TransactionId(engine.rng.random());
    let bytes = icmp_indication(peer, icmp, transaction);
    engine.outputs.push(Output::Transmit { to, bytes });
}
