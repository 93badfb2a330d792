//! A simulation: random users do random things at random times, and an observer who sees only what
//! goes in and out checks that nobody hears what is not theirs and that nothing is left behind.
//!
//! Each run is one seed. `CALLBOX_SIM_SEED=n` runs that one alone, `CALLBOX_SIM_RUNS=n` so many.

mod connections;
mod kicks;
mod listening;
mod looking;
mod presence;
mod relay;
mod requests;
mod restart;
mod rooms;
mod runs;
mod setup;
mod steps;
mod tokens;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
    usage::Usage,
};
use rand::rngs::StdRng;
use serde_json::Value;

use self::{
    kicks::Kicked,
    rooms::{View, WatchedRoom},
    tokens::TokenRecord,
};
use super::{ms, schemas, user};
use crate::{CallReport, Counters, Hub, PresenceStatus, RequestId};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DEVICES: [&str; 4] = ["laptop", "phone", "tablet", "desk"];

/// A device of a user.
type Seat = (UserId, DeviceId);

/// A call, as the observer knows it.
struct Watched {
    caller: Seat,
    callee: UserId,
    /// The device whose accept succeeded.
    winner: Option<Seat>,
    /// The device that one side hands the call to.
    next: Option<Seat>,
    /// The number of the request by which a side changed its device last.
    moved_at: u64,
    /// The sessions that a side handed the call to, whatever became of it.
    offered_to: BTreeSet<SessionId>,
    /// The sessions that know of the call, each with the reason of the end that it received.
    audience: BTreeMap<SessionId, Option<String>>,
    ended: bool,
    /// The users who made an offer, since a side changed its device.
    offered: BTreeSet<UserId>,
    /// By sender: the numbers of the candidates that went to the other side.
    relayed: BTreeSet<u64>,
    /// The addresses that were announced to the relay, each with its user.
    announced: BTreeSet<(UserId, IpAddr)>,
}

/// A client's progress with the events of its session.
#[derive(Debug, Clone, Copy, Default)]
struct Reader {
    /// The last that it has.
    has: u64,
    /// The last that was ever seen on its way to it: it may be lost with the connection.
    seen: u64,
    /// The last event that it has acknowledged.
    said: u64,
}

struct Sim {
    seed: u64,
    hub: Hub,
    rng: StdRng,
    now: Now,
    number: u64,
    sessions: BTreeMap<SessionId, Seat>,
    /// Those of them that have lost their connection.
    away: BTreeSet<SessionId>,
    /// The progress of the client of each session that can be resumed.
    readers: BTreeMap<SessionId, Reader>,
    /// Up to which event the client says that it has everything, when it comes back.
    claim: u64,
    /// Requests that their senders have named, and what they were answered with.
    named: Vec<(Seat, String, Value, Value)>,
    /// The expected answer to each request that is made again.
    expected: BTreeMap<RequestId, Value>,
    calls: BTreeMap<CallId, Watched>,
    rooms: BTreeMap<CallId, WatchedRoom>,
    /// The rooms that each session sees.
    in_view: BTreeMap<(SessionId, CallId), View>,
    /// The share of requests that are about rooms.
    about_rooms: f64,
    /// True if everyone joins one room.
    crowded: bool,
    /// The last report of each call.
    reports: BTreeMap<CallId, CallReport>,
    /// The token that each `auth:refresh` brings.
    brought: BTreeMap<RequestId, TokenRecord>,
    /// The token of each session.
    tokens: BTreeMap<SessionId, TokenRecord>,
    /// The tokens that were made, each with its user.
    made: Vec<(UserId, TokenRecord)>,
    /// The users who were kicked, as long as that counts.
    kicked: BTreeMap<UserId, Kicked>,
    /// The users whom each session blocks.
    blocked: BTreeMap<SessionId, BTreeSet<UserId>>,
    kicks: u64,
    /// The numbers of times that a kick withheld credentials, and that they were given again.
    without_relay: u64,
    readmissions: u64,
    blocks: u64,
    /// The presence that each watcher received of the users on its list.
    views: BTreeMap<SessionId, BTreeMap<UserId, PresenceStatus>>,
    /// The users who have begun a call or come into a room since the last input, each with the most
    /// calls that its token allows.
    callers: Vec<(UserId, Option<u64>)>,
    /// The calls about which it was asked whether to hold them, and not answered.
    asked_to_hold: Vec<CallId>,
    /// The entries for the next server.
    kept: BTreeMap<String, String>,
    crashes: u64,
    /// The event and the sender of each request that is not yet answered.
    asked: BTreeMap<RequestId, (String, SessionId, Value)>,
    allocations: Vec<(CallId, Arc<Usage>)>,
    candidates_taken: u64,
    resumed: u64,
    repeated: u64,
    crossed: u64,
    joins: u64,
    fullest_room: usize,
    transferred: u64,
    presence_changes: u64,
    warned: u64,
    refreshed: u64,
    expired: u64,
    /// Calls that went on in the server that there is now, and in any.
    restored: u64,
    all_restored: u64,
    /// The counters of the servers before this one.
    past: Vec<Counters>,
    log: Vec<String>,
}

/// Says which seed it was and what went before, when a run fails.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.log.len().saturating_sub(30);
            eprintln!(
                "{}\nthe simulation failed: CALLBOX_SIM_SEED={}",
                self.log[from..].join("\n"),
                self.seed
            );
        }
    }
}

/// The address that the event with this number names.
fn address(number: u64) -> IpAddr {
    IpAddr::from([10, 0, (number / 256) as u8, number as u8])
}
