//! Small traces for tests.

use std::time::Duration;

use callbox_base::ids::UserId;
use callbox_signaling::Timestamp;
use proptest::prelude::*;

use super::{
    details::{CandidateAddress, EventFate, Facts, SessionChange, TracedCandidate, Transport, Way},
    document::{CallTrace, Step, What},
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

/// Returns traces whose texts are anything that can be in a document.
pub(super) fn any_trace() -> impl Strategy<Value = CallTrace> {
    let names = prop::collection::vec(
        any_text().prop_filter_map("a name", |name| UserId::new(&name).ok()),
        0..5,
    );
    let steps = prop::collection::vec((0.0..1e7, 0usize..16, any_text(), 0usize..6), 0..30);
    (names, steps, any_text(), 0u64..2).prop_map(|(users, steps, diagnosis, omitted)| {
        let stranger = user("a stranger");
        let step = |(at_ms, kind, text, of): (f64, usize, String, usize)| {
            let user = users.get(of).unwrap_or(&stranger).clone();
            Step { at_ms, what: any_step(kind, user, text) }
        };
        let steps = steps.into_iter().map(step).collect();
        CallTrace { users: users.clone(), diagnosis, omitted, steps, ..trace(Vec::new()) }
    })
}

/// Returns texts that are likely to be obeyed by what shows them.
fn any_text() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just(";"),
        Just("#"),
        Just("\n"),
        Just("\r"),
        Just("%%{init: {}}%%"),
        Just("end"),
        Just("<img src=x onerror=alert(1)>"),
        Just("&#60;"),
        Just("\u{fb02}°60¶ß"),
        Just("->>"),
        Just("participant A as B"),
        Just(": "),
        Just("\u{1b}[31m"),
        Just("\u{202e}"),
        Just("日本"),
        Just("\u{2028}"),
        Just("style:x"),
        Just("`\"'\\"),
        Just(" "),
        Just("alice"),
        Just("\u{9b}"),
    ];
    let strange = prop::collection::vec(parts, 0..4).prop_map(|parts| parts.concat());
    prop_oneof![strange, any::<String>(), ".{0,128}"]
}

fn any_step(kind: usize, user: UserId, text: String) -> What {
    let peer = "[2001:db8::1]:9".parse().unwrap();
    let facts = Facts {
        state: Some(text.clone()),
        call_type: Some(text.clone()),
        reason: Some(text.clone()),
        path: Some(text.clone()),
        candidate: None,
    };
    let mut turned = turn("x", &text, Some(401), Some(&text));
    if let What::Turn { user: by, peers, .. } = &mut turned {
        *by = user.clone();
        peers.push(peer);
    }
    let (to_peer, to_client) = (Way::ToPeer, Way::ToClient);
    match kind {
        0 => What::Request { user, event: text.clone(), error: Some(text), facts },
        1 => What::Request { user, event: "call:stats".into(), error: None, facts },
        2 => What::Event { user, event: text, fault: Some(EventFate::Dropped), facts },
        3 => What::Event { user, event: "call:state".into(), fault: None, facts },
        4 => What::Binding { user, client: peer, transport: Transport::Tcp },
        5 => turned,
        6 => What::Expired { user, peer: None, channel: Some(0x4000) },
        7 => What::FirstPacket { user, direction: to_peer, peer },
        8 => What::FirstPacket { user, direction: to_client, peer },
        9 => What::FirstRefusedPacket { user, direction: to_client, peer: None, reason: text },
        10 => What::FirstLostPacket { user, direction: to_peer },
        11 => What::Fault { fault: text, user: Some(user) },
        12 => What::Over { reason: text, user: Some(user) },
        13 => What::Session { user, change: SessionChange::Lost },
        14 => What::Request {
            user,
            event: "call:stats".into(),
            error: None,
            facts: Facts { path: Some("host".into()), ..Facts::default() },
        },
        _ => What::AllocationClosed {
            user,
            reason: text,
            bytes_up: 1,
            bytes_down: 2,
            refused_packets: 3,
            lost_packets: 4,
        },
    }
}
