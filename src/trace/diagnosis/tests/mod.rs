mod ending;
mod relaying;

use super::*;
use crate::trace::{
    details::{EventFate, TracedCandidate},
    document::What,
    testing::{
        allocated, event, faulty_event, host, over, path, permitted, refused, relayed_call,
        request, trace, with,
    },
};

const ALICE_RELAY: &str = "192.0.2.10:49210";
const BOB_RELAY: &str = "192.0.2.10:49377";
const ALICE: &str = "198.51.100.7:40000";

/// The steps of a call up to its answer after two seconds.
fn answered() -> Vec<(f64, What)> {
    vec![
        (0.0, request("alice", "call:initiate")),
        (0.0, event("bob", "call:incoming")),
        (2.0, request("bob", "call:accept")),
        (2.0, event("alice", "call:accepted")),
    ]
}

/// The same, with descriptions.
fn described() -> Vec<(f64, What)> {
    let more = [
        (2.1, request("alice", "signal:offer")),
        (2.1, event("bob", "signal:offer")),
        (2.2, request("bob", "signal:answer")),
        (2.2, event("alice", "signal:answer")),
    ];
    answered().into_iter().chain(more).collect()
}

/// The same, with candidates of both sides; those of alice reach bob at a time.
fn trickled(reaches_bob: f64) -> Vec<(f64, What)> {
    let more = [
        (2.3, with(request("alice", "ice:candidate"), host(ALICE))),
        (2.4, with(request("bob", "ice:candidate"), host("203.0.113.88:50000"))),
        (2.4, with(event("alice", "ice:candidate"), host("203.0.113.88:50000"))),
        (reaches_bob, with(event("bob", "ice:candidate"), host(ALICE))),
    ];
    described().into_iter().chain(more).collect()
}

/// The same, with allocations of both sides and permissions for each other.
fn permissive() -> Vec<(f64, What)> {
    let more = [
        (2.5, allocated("alice", ALICE_RELAY)),
        (2.5, allocated("bob", BOB_RELAY)),
        (2.6, permitted("alice", BOB_RELAY)),
        (2.6, permitted("bob", ALICE_RELAY)),
    ];
    trickled(2.3).into_iter().chain(more).collect()
}

/// Returns the diagnosis of these steps and more.
fn said(steps: Vec<(f64, What)>, more: impl IntoIterator<Item = (f64, What)>) -> String {
    let mut steps: Vec<_> = steps.into_iter().chain(more).collect();
    steps.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    diagnosis(&trace(steps))
}

#[test]
fn the_fixture_has_its_diagnosis() {
    let mut trace = relayed_call();
    let expected = std::mem::take(&mut trace.diagnosis);
    assert_eq!(expected, "the call ended after 15.7 s; media went through the relay");
    assert_eq!(diagnosis(&trace), expected);
}

#[test]
fn calls_that_nobody_took() {
    let initiated = || vec![(0.0, request("alice", "call:initiate"))];
    let called = || answered()[..2].to_vec();
    let cases = [
        (vec![], vec![], "the trace has no steps"),
        (
            vec![(0.1, refused("alice", "call:initiate", "forbidden"))],
            vec![],
            "alice's call:initiate was refused with forbidden after 0.1 s",
        ),
        (
            called(),
            vec![(45.0, over("timeout", None))],
            "bob never answered: the call ended with timeout after 45.0 s",
        ),
        (
            initiated(),
            vec![(0.1, over("offline", None))],
            "the callee had no device connected: the call ended with offline after 0.1 s",
        ),
        (called(), vec![(3.0, over("rejected", Some("bob")))], "bob declined the call after 3.0 s"),
        (
            called(),
            vec![(12.0, over("cancelled", Some("alice")))],
            "alice took the call back after 12.0 s, unanswered",
        ),
        (
            called(),
            vec![(1.0, over("busy", Some("bob")))],
            "bob was busy: the call ended with busy after 1.0 s",
        ),
        (
            called(),
            vec![(7.0, request("bob", "call:ring"))],
            "bob has not answered yet, after 7.0 s",
        ),
        (
            initiated(),
            vec![
                (0.2, faulty_event("bob", "call:incoming", EventFate::Dropped)),
                (45.0, over("timeout", None)),
            ],
            "bob never got call:incoming, since a test's fault dropped it after 0.2 s: the call \
             ended with timeout after 45.0 s; a test's faults: 1 event dropped",
        ),
        (
            vec![(0.0, request("alice", "room:join"))],
            vec![(60.0, over("left", Some("alice")))],
            "nobody joined alice in the room: it ended with left after 60.0 s",
        ),
    ];
    for (steps, more, expected) in cases {
        assert_eq!(said(steps, more), expected);
    }
}

#[test]
fn descriptions_and_candidates_that_did_not_get_through() {
    let end = || (60.0, over("hangup", Some("alice")));
    let without_answer = || described()[..6].to_vec();
    let cases = [
        (
            answered(),
            vec![end()],
            "neither side sent an offer (the call ended with hangup after 60.0 s)",
        ),
        (
            without_answer(),
            vec![(9.0, event("alice", "call:state"))],
            "bob sent no answer to alice's offer, which came after 2.1 s (9.0 s after the call \
             began)",
        ),
        (described()[..5].to_vec(), vec![end()], "alice's offer of 2.1 s never reached bob"),
        (
            without_answer(),
            vec![(2.2, refused("bob", "signal:answer", "too_large")), end()],
            "bob's signal:answer was refused with too_large after 2.2 s",
        ),
        (
            described()[..7].to_vec(),
            vec![(2.3, faulty_event("alice", "signal:answer", EventFate::Dropped)), end()],
            "alice never got signal:answer: a test's fault dropped it after 2.3 s; a test's \
             faults: 1 event dropped",
        ),
        (
            described(),
            vec![(2.3, with(request("alice", "ice:candidate"), host(ALICE))), end()],
            "bob sent no candidate (the call ended with hangup after 60.0 s)",
        ),
        (
            described(),
            vec![(2.3, with(request("alice", "ice:candidate"), TracedCandidate::End)), end()],
            "no side sent a candidate (the call ended with hangup after 60.0 s)",
        ),
        (
            trickled(2.3)[..11].to_vec(),
            vec![(2.5, faulty_event("bob", "ice:candidate", EventFate::Dropped)), end()],
            "bob never got a candidate: a test's fault dropped them from 2.5 s on; a test's \
             faults: 1 event dropped",
        ),
    ];
    for (steps, more, expected) in cases {
        assert_eq!(said(steps, more), expected);
    }
}

#[test]
fn the_faults_of_a_test_are_counted() {
    let fault = |fault: &str| What::Fault { fault: fault.to_owned(), user: None };
    let text = said(
        trickled(2.3),
        [
            (2.5, faulty_event("bob", "call:state", EventFate::Delayed)),
            (2.6, faulty_event("bob", "call:state", EventFate::Delayed)),
            (2.7, fault("disconnect")),
            (2.8, fault("disconnect")),
            (3.0, path("alice", "host")),
        ],
    );
    assert!(text.ends_with("(host); a test's faults: 2 events held back, disconnect"), "{text}");
}
