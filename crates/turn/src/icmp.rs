//! What became of datagrams that did not reach their peer (RFC 8656 §11.5).

use std::net::SocketAddr;

use callbox_base::clock::Now;
use callbox_stun::{Icmp, TransactionId, icmp_indication};
use rand::Rng;

use super::{AllocationId, Engine, Output};

/// How many milliseconds pass until a client is told again of one peer's address: an error there
/// may be for each datagram that it sends.
const PAUSE_MS: u64 = 100;

impl Engine {
    /// Takes in an ICMP error that a datagram from an allocation to `to` has met with. The client
    /// is told if it has a permission for that address, at most ten times a second for each.
    ///
    /// It is told only if it can be expected to understand: RFC 5766 knows no Data indication
    /// without DATA, and clients of that age in wide use, those of Go and Rust among them, stop for
    /// good at one. A client that sends DONT-FRAGMENT or ADDITIONAL-ADDRESS-FAMILY with its
    /// Allocate wants to know which size fits, or knows RFC 8656.
    pub fn handle_icmp(&mut self, now: Now, id: AllocationId, to: SocketAddr, icmp: Icmp) {
        let peer = self.common.addresses.from_wire(to).0;
        let moment = (now.unix_ms() / PAUSE_MS) as u32;
        let Ok(allocation) = self.open_mut(id) else { return };
        if !allocation.hears_icmp {
            return;
        }
        let tuple = allocation.tuple;
        // "only addresses are compared and port numbers are not considered"
        let Some(permission) = allocation.permissions.get_mut(&peer.ip()) else { return };
        if !icmp.is_relayed() || std::mem::replace(&mut permission.told, moment) == moment {
            return;
        }
        let transaction = TransactionId(self.rng.random());
        let bytes = icmp_indication(peer, icmp, transaction);
        self.outputs.push_back(Output::Transmit { to: tuple, bytes });
    }
}
