//! Small traces for tests.

use std::time::Duration;

use callbox_base::ids::UserId;
use callbox_signaling::Timestamp;

use super::document::{
    CallTrace, CandidateAddress, EventFate, Facts, Step, TracedCandidate, Transport, Way, What,
};

/// Returns a trace of these steps, with their times in seconds. The users are those of requests and
/// events.
pub(super) fn trace(steps: Vec<(f64, What)>) -> CallTrace {
    let mut users: Vec<UserId> = Vec::new();
    for (_, what) in &steps {
        if let What::Request { user, .. } | What::Event { user, .. } | What::Turn { user, .. } =
            what
            && !users.contains(user)
        {
            users.push(user.clone());
        }
    }
    CallTrace {
        call_id: "01JNVH0A7GQ2W5E8R1T4Y6V9PB".parse().unwrap(),
        started_at: Timestamp(Duration::from_millis(1_800_000_000_000)),
        is_over: steps.iter().any(|(_, what)| matches!(what, What::Over { .. })),
        users,
        diagnosis: String::new(),
        omitted: 0,
        steps: steps
            .into_iter()
            .map(|(seconds, what)| Step { at_ms: seconds * 1000.0, what })
            .collect(),
    }
}

/// Returns the fixture: a call through the relay that goes well.
pub(super) fn relayed_call() -> CallTrace {
    serde_json::from_str(include_str!("../../tests/fixtures/trace.json")).unwrap()
}

/// Returns a user.
pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// Returns a request that succeeds.
pub(super) fn request(name: &str, event: &str) -> What {
    let (user, event) = (user(name), event.to_owned());
    What::Request { user, event, error: None, facts: Facts::default() }
}

/// Returns a request that is refused with a code.
pub(super) fn refused(name: &str, event: &str, code: &str) -> What {
    let (user, event) = (user(name), event.to_owned());
    What::Request { user, event, error: Some(code.to_owned()), facts: Facts::default() }
}

/// Returns an event that is sent.
pub(super) fn event(name: &str, event: &str) -> What {
    let (user, event) = (user(name), event.to_owned());
    What::Event { user, event, fault: None, facts: Facts::default() }
}

/// Returns an event that meets with a fault.
pub(super) fn faulty_event(name: &str, event: &str, fault: EventFate) -> What {
    let (user, event) = (user(name), event.to_owned());
    What::Event { user, event, fault: Some(fault), facts: Facts::default() }
}

/// Returns a candidate of the client itself at an address.
pub(super) fn host(address: &str) -> TracedCandidate {
    let address = Some(address.parse().unwrap());
    TracedCandidate::Host(CandidateAddress { transport: Transport::Udp, address })
}

/// Returns a relayed candidate at an address.
pub(super) fn relay(address: &str) -> TracedCandidate {
    let address = Some(address.parse().unwrap());
    TracedCandidate::Relay(CandidateAddress { transport: Transport::Udp, address })
}

/// Returns a step with a candidate in it.
pub(super) fn with(mut what: What, candidate: TracedCandidate) -> What {
    if let What::Request { facts, .. } | What::Event { facts, .. } = &mut what {
        facts.candidate = Some(candidate);
    }
    what
}

/// Returns a report of a client on the path of its media.
pub(super) fn path(name: &str, path: &str) -> What {
    let facts = Facts { path: Some(path.to_owned()), ..Facts::default() };
    What::Request { user: user(name), event: "call:stats".to_owned(), error: None, facts }
}

/// Returns a request to the relay with its error, and the reason if its credentials are refused.
pub(super) fn turn(name: &str, method: &str, error: Option<u16>, refusal: Option<&str>) -> What {
    What::Turn {
        user: user(name),
        client: "198.51.100.7:40000".parse().unwrap(),
        transport: Transport::Udp,
        method: method.to_owned(),
        error,
        refusal: refusal.map(str::to_owned),
        relayed: None,
        peers: Vec::new(),
        channel: None,
        lifetime: None,
        fault: None,
    }
}

/// Returns an allocation that is opened at a relayed address.
pub(super) fn allocated(name: &str, address: &str) -> What {
    let mut what = turn(name, "Allocate", None, None);
    if let What::Turn { relayed, .. } = &mut what {
        *relayed = Some(address.parse().unwrap());
    }
    what
}

/// Returns a permission for a peer.
pub(super) fn permitted(name: &str, peer: &str) -> What {
    let mut what = turn(name, "CreatePermission", None, None);
    if let What::Turn { peers, .. } = &mut what {
        peers.push(peer.parse().unwrap());
    }
    what
}

/// Returns the first packet in a direction.
pub(super) fn packet(name: &str, direction: Way, peer: &str) -> What {
    What::FirstPacket { user: user(name), direction, peer: peer.parse().unwrap() }
}

/// Returns the first packet that is not relayed in a direction.
pub(super) fn refused_packet(name: &str, direction: Way, peer: &str, reason: &str) -> What {
    let (peer, reason) = (Some(peer.parse().unwrap()), reason.to_owned());
    What::FirstRefusedPacket { user: user(name), direction, peer, reason }
}

/// Returns the end of the call.
pub(super) fn over(reason: &str, by: Option<&str>) -> What {
    What::Over { reason: reason.to_owned(), user: by.map(user) }
}
