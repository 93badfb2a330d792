//! The steps of a trace: what an engine did for the clients of a call, for somebody who looks for
//! the reason why a call has no media. They are told only with
//! [`Config::trace`](crate::Config::trace).

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use callbox_base::ids::CallId;
use callbox_stun::{ErrorCode, Method, Request};
use foldhash::fast::RandomState;

use super::{AllocationId, Direction, DropReason, EndReason, FiveTuple, auth::WrongCredentials};

/// The largest number of peers of one request that are told.
const MAX_PEERS: usize = 8;

/// A step, and its user. Its time is that at which the driver takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// The client, and the way to it.
    pub client: FiveTuple,
    /// The user of the step. `None` for a Binding request, which has no credentials.
    pub owner: Option<TraceOwner>,
    /// The step.
    pub step: TraceStep,
}

/// The user of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOwner {
    /// The user.
    pub user: Arc<str>,
    /// The call that the credentials are for, if they are for one.
    pub call: Option<CallId>,
    /// False if the credentials were refused, so that anybody may have sent the name.
    pub is_proved: bool,
}

/// A step of a client at the relay.
#[derive(Debug, Clone, PartialEq)]
pub enum TraceStep {
    /// A request was answered.
    Answered {
        /// The request.
        request: TracedRequest,
        /// The result.
        result: Result<(), ErrorCode>,
        /// The fault in the credentials, if they are refused.
        refusal: Option<WrongCredentials>,
        /// The relayed address of an allocation that was opened.
        relayed: Option<SocketAddr>,
        /// True if the answer is a fault that a test has asked for.
        injected: bool,
    },
    /// A request was not answered, which is a fault that a test has asked for.
    Silenced(TracedRequest),
    /// A permission has expired.
    PermissionExpired(IpAddr),
    /// A channel has expired.
    ChannelExpired(u16),
    /// The first packet was relayed in a direction.
    FirstPacket {
        /// The direction.
        direction: Direction,
        /// The peer that it went to or came from.
        peer: SocketAddr,
    },
    /// For the first time a packet was not relayed in a direction.
    FirstRefused {
        /// The direction.
        direction: Direction,
        /// The peer that it was for or came from, as far as it is known.
        peer: Option<SocketAddr>,
        /// The reason.
        reason: DropReason,
    },
    /// For the first time a packet was lost in a direction, since a test has asked for that.
    FirstLost(Direction),
    /// The allocation is closed.
    Closed {
        /// The reason.
        reason: EndReason,
        /// The payload bytes from the client to its peers, over both addresses of a dual one.
        bytes_up: u64,
        /// The payload bytes from the peers to the client.
        bytes_down: u64,
        /// The number of packets that were not relayed, by direction: up, down.
        refused: [u64; 2],
        /// The number of packets that were lost since a test has asked for that.
        lost: [u64; 2],
    },
}

/// The parts of a request that a trace has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedRequest {
    /// The method.
    pub method: Method,
    /// The peers, of which the first eight are told.
    pub peers: Vec<SocketAddr>,
    /// The channel, if the request names one.
    pub channel: Option<u16>,
    /// The lifetime that it asks for, in seconds.
    pub lifetime: Option<u32>,
}

impl TracedRequest {
    /// Copies from a request.
    pub(super) fn of(request: &Request<'_>) -> Self {
        Self {
            peers: request.peers().take(MAX_PEERS).collect(),
            channel: request.attributes.channel_number,
            lifetime: request.attributes.lifetime,
            ..Self::plain(request.method)
        }
    }

    /// Makes a request of which nothing but the method is known.
    pub(super) fn plain(method: Method) -> Self {
        Self { method, peers: Vec::new(), channel: None, lifetime: None }
    }
}

/// The events of one allocation that are told only once, and counted.
#[derive(Debug, Default)]
struct Tally {
    refused: [u64; 2],
    lost: [u64; 2],
}

/// The counts of the allocations of an engine that traces. There is an entry for each allocation
/// some of whose packets were not relayed.
#[derive(Debug, Default)]
pub(super) struct TraceCounts(HashMap<AllocationId, Tally, RandomState>);

impl TraceCounts {
    /// Counts a packet that was not relayed. Returns true if it was the first.
    pub(crate) fn refused(&mut self, id: AllocationId, direction: Direction) -> bool {
        add(&mut self.0.entry(id).or_default().refused, direction)
    }

    /// Counts a packet that was lost on purpose. Returns true if it was the first.
    pub(crate) fn lost(&mut self, id: AllocationId, direction: Direction) -> bool {
        add(&mut self.0.entry(id).or_default().lost, direction)
    }

    /// Takes out the counts of an allocation: of packets that were not relayed, and of lost ones.
    pub(crate) fn take(&mut self, id: AllocationId) -> [[u64; 2]; 2] {
        let Tally { refused, lost } = self.0.remove(&id).unwrap_or_default();
        [refused, lost]
    }
}

/// Counts up by one. Returns true if it was the first.
fn add(counts: &mut [u64; 2], direction: Direction) -> bool {
    let count = &mut counts[direction as usize];
    *count += 1;
    *count == 1
}
