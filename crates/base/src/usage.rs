//! The amount of data that an allocation has relayed: written by the one worker that owns the
//! allocation, read by any thread.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The live counters of one allocation. One worker writes; any thread may read.
#[derive(Debug, Default)]
pub struct Usage {
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

impl Usage {
    /// Counts `bytes` of payload that went from the client to a peer. Returns true if they are the
    /// first.
    #[inline]
    pub fn add_up(&self, bytes: usize) -> bool {
        add(&self.bytes_up, bytes)
    }

    /// Counts `bytes` of payload that went from a peer to the client. Returns true if they are the
    /// first.
    #[inline]
    pub fn add_down(&self, bytes: usize) -> bool {
        add(&self.bytes_down, bytes)
    }

    /// Returns the payload bytes so far: client to peers, peers to client.
    pub fn read(&self) -> (u64, u64) {
        (self.bytes_up.load(Ordering::Relaxed), self.bytes_down.load(Ordering::Relaxed))
    }
}

/// Adds with a plain load and store: there is one writer, so no bus-locked addition is needed.
/// Returns true if the counter was 0.
#[inline]
fn add(counter: &AtomicU64, bytes: usize) -> bool {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before + bytes as u64, Ordering::Relaxed);
    before == 0
}

/// The relay's work for one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RelayUsage {
    /// The number of allocations that were opened for the call, closed ones included.
    pub allocations: u32,
    /// Payload bytes from clients to their peers.
    pub bytes_up: u64,
    /// Payload bytes from peers to clients.
    pub bytes_down: u64,
}
