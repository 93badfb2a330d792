//! The answer to requests about faults.

use callbox_base::faults::{Injected, Injection};
use serde::Serialize;
use utoipa::ToSchema;

use super::{EventFault, PacketFault, RequestFault};

/// The faults that the server injects, and what it has injected.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultReport {
    /// The seed of all random draws.
    pub seed: u64,
    /// The faults of relayed packets.
    pub packets: Vec<PacketFault>,
    /// The faults of requests to the relay.
    pub requests: Vec<RequestFault>,
    /// The faults of events.
    pub events: Vec<EventFault>,
    /// True while the relay is gone.
    pub relay_gone: bool,
    /// The results of the document's actions, in their order; only in the answer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actions: Option<Vec<ActionResult>>,
    /// The number of faults since the server started.
    pub injected: InjectedFaults,
}

/// The result of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionResult {
    /// The name of the action.
    pub action: &'static str,
    /// The number of allocations or sessions that it concerns. That of `expireCredentials` counts
    /// the allocations that are open with them.
    pub affected: usize,
}

/// The number of faults of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InjectedFaults {
    /// Relayed packets that were dropped.
    pub packets_lost: u64,
    /// Relayed packets that were held back.
    pub packets_delayed: u64,
    /// Relayed packets that overtook others.
    pub packets_reordered: u64,
    /// Relayed packets that were sent twice.
    pub packets_duplicated: u64,
    /// Relayed packets that were dropped since too many were held back.
    pub packets_overflowed: u64,
    /// Requests that were answered with an error.
    pub requests_answered: u64,
    /// Requests that were not answered.
    pub requests_silenced: u64,
    /// Events that were not sent.
    pub events_dropped: u64,
    /// Events that were held back.
    pub events_delayed: u64,
    /// Events that were sent twice.
    pub events_duplicated: u64,
}

impl InjectedFaults {
    /// Reads the counters.
    pub(crate) fn read(injected: &Injected) -> Self {
        Self {
            packets_lost: injected.get(Injection::PacketLost),
            packets_delayed: injected.get(Injection::PacketDelayed),
            packets_reordered: injected.get(Injection::PacketReordered),
            packets_duplicated: injected.get(Injection::PacketDuplicated),
            packets_overflowed: injected.get(Injection::PacketOverflowed),
            requests_answered: injected.get(Injection::RequestAnswered),
            requests_silenced: injected.get(Injection::RequestSilenced),
            events_dropped: injected.get(Injection::EventDropped),
            events_delayed: injected.get(Injection::EventDelayed),
            events_duplicated: injected.get(Injection::EventDuplicated),
        }
    }
}
