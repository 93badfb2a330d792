use super::*;
use crate::trace::{
    document::{EventFate, SessionChange, TracedCandidate, TurnFate, Way, What},
    testing::{
        allocated, event, faulty_event, host, over, packet, path, permitted, refused,
        refused_packet, relay, relayed_call, request, trace, turn, user, with,
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
fn credentials_that_the_relay_refuses() {
    let expired = || turn("alice", "Allocate", Some(401), Some("they have expired"));
    let sentence = "alice's relay request was refused with 401 after 2.5 s (they have expired)";
    assert_eq!(said(trickled(2.3), [(2.5, expired())]), sentence);
    // Later ones were taken.
    let later = said(trickled(2.3), [(2.5, expired()), (2.6, allocated("alice", ALICE_RELAY))]);
    assert!(!later.contains("401"), "{later}");
}

#[test]
fn each_client_is_asked_to_log_in_and_that_is_no_error() {
    let asked = |code| turn("alice", "Allocate", Some(code), None);
    let stale = turn("alice", "Refresh", Some(438), None);
    let fine = said(
        trickled(2.3),
        [
            (2.5, asked(401)),
            (2.6, allocated("alice", ALICE_RELAY)),
            (2.7, stale),
            (2.8, request("alice", "call:connected")),
            (9.0, over("hangup", None)),
        ],
    );
    assert_eq!(
        fine,
        "the call ended after 9.0 s; media went directly, since the relay has had none of it"
    );
    assert_eq!(
        said(trickled(2.3), [(2.5, asked(401))]),
        "alice never logged in at the relay, which asked for credentials after 2.5 s (Allocate, \
         401)"
    );
}

#[test]
fn requests_that_the_relay_does_not_take() {
    let quota = (2.5, turn("bob", "Allocate", Some(486), None));
    assert_eq!(
        said(trickled(2.3), [quota]),
        "bob's Allocate failed with 486 after 2.5 s (the user has too many allocations)"
    );
    let mut forbidden = permitted("bob", "10.0.0.1:9");
    if let What::Turn { error, .. } = &mut forbidden {
        *error = Some(403);
    }
    assert_eq!(
        said(trickled(2.3), [(2.4, allocated("bob", BOB_RELAY)), (2.5, forbidden)]),
        "bob's CreatePermission for 10.0.0.1 failed with 403 after 2.5 s (the relay's rules do \
         not allow it)"
    );
    for (fate, code, expected) in [
        (
            TurnFate::Silenced,
            None,
            "the relay did not answer bob's Allocate after 2.5 s: a test's fault; a test's faults: \
             1 request to the relay not answered",
        ),
        (
            TurnFate::Answered,
            Some(508),
            "bob's Allocate failed with 508 after 2.5 s (a test's fault); a test's faults: 1 \
             request to the relay refused",
        ),
    ] {
        let mut faulty = turn("bob", "Allocate", code, None);
        if let What::Turn { fault, .. } = &mut faulty {
            *fault = Some(fate);
        }
        assert_eq!(said(trickled(2.3), [(2.5, faulty)]), expected);
    }
}

#[test]
fn permissions_that_never_came() {
    let relayed = |reaches_bob| {
        let more = [
            (2.5, allocated("bob", BOB_RELAY)),
            (5.0, refused_packet("bob", Way::ToClient, ALICE, "no_permission")),
        ];
        said(trickled(reaches_bob), more.into_iter().chain([(40.0, over("ice_failed", None))]))
    };
    assert_eq!(
        relayed(31.0),
        "bob's permission for alice never came: alice's candidates reached bob after 31.0 s"
    );
    assert_eq!(
        relayed(2.6),
        "bob's permission for alice never came, although alice's candidates reached bob after \
         2.6 s"
    );
    // Nothing tried to get in, but there is no permission either.
    let silent = said(trickled(31.0), [(2.5, allocated("bob", BOB_RELAY))]);
    assert!(silent.starts_with("bob's permission for alice never came: "), "{silent}");
    // The first check comes before the permission: that is as it should be.
    let early = said(
        trickled(2.3),
        [
            (2.5, allocated("bob", BOB_RELAY)),
            (2.6, refused_packet("bob", Way::ToClient, ALICE, "no_permission")),
            (2.7, permitted("bob", ALICE)),
            (2.8, packet("bob", Way::ToClient, ALICE)),
            (2.8, packet("bob", Way::ToPeer, ALICE)),
            (3.0, path("bob", "relay")),
            (8.0, over("hangup", None)),
        ],
    );
    assert_eq!(early, "the call ended after 8.0 s; media went through the relay");
}

/// Both sides have allocations with permissions for each other.
fn permissive() -> Vec<(f64, What)> {
    let more = [
        (2.5, allocated("alice", ALICE_RELAY)),
        (2.5, allocated("bob", BOB_RELAY)),
        (2.6, permitted("alice", BOB_RELAY)),
        (2.6, permitted("bob", ALICE_RELAY)),
    ];
    trickled(2.3).into_iter().chain(more).collect()
}

#[test]
fn packets_that_did_not_get_through() {
    let lost = What::FirstLostPacket { user: user("bob"), direction: Way::ToClient };
    let cases = [
        (
            vec![(3.0, refused_packet("alice", Way::ToPeer, "10.0.0.1:9", "forbidden_peer"))],
            "the relay refused alice's packets to 10.0.0.1:9 from 3.0 s on (forbidden_peer)",
        ),
        (
            vec![(3.0, lost)],
            "packets to bob were lost from 3.0 s on: a test's fault; a test's faults: 1 direction \
             with lost packets",
        ),
        (
            vec![(3.0, packet("alice", Way::ToPeer, BOB_RELAY))],
            "alice sent packets over the relay from 3.0 s on, and none came back",
        ),
        (
            vec![(3.0, packet("bob", Way::ToClient, ALICE))],
            "packets for bob came over the relay from 3.0 s on, and bob sent none",
        ),
        (
            vec![],
            "neither side has packets over the relay, although both have allocations: permissions \
             are there, but nothing was sent",
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(said(permissive(), more), expected);
    }
    let relays = ["alice", "bob", "carol"].map(|name| (2.5, allocated(name, BOB_RELAY)));
    let in_room = said(
        trickled(2.3),
        relays
            .into_iter()
            .chain([(2.4, with(request("carol", "ice:candidate"), relay(BOB_RELAY)))]),
    );
    assert_eq!(
        in_room,
        "no side has packets over the relay, although they have allocations: no permission was \
         made by alice and bob and carol"
    );
}

#[test]
fn calls_that_went_well() {
    let over = || (12.3, over("hangup", Some("alice")));
    let cases = [
        (
            vec![(3.0, path("alice", "host")), over()],
            "the call ended after 12.3 s; media went directly (host)",
        ),
        (
            vec![(3.0, path("alice", "srflx")), (3.1, path("bob", "host")), over()],
            "the call ended after 12.3 s; media went directly (host and srflx)",
        ),
        (
            vec![(3.0, path("alice", "relay")), (3.1, path("bob", "host")), over()],
            "the call ended after 12.3 s; media went through the relay",
        ),
        (
            vec![(3.0, path("alice", "host")), (5.0, event("bob", "call:state"))],
            "the call has lasted 5.0 s so far; media goes directly (host)",
        ),
        (
            vec![(3.0, request("alice", "call:connected")), over()],
            "the call ended after 12.3 s; media went directly, since the relay has had none of it",
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(said(trickled(2.3), more), expected);
    }
    let packets = [
        (3.0, packet("alice", Way::ToPeer, BOB_RELAY)),
        (3.0, packet("alice", Way::ToClient, BOB_RELAY)),
        (3.1, request("alice", "call:connected")),
    ];
    let untold = said(permissive(), packets.clone());
    assert!(untold.ends_with("goes directly or through the relay: no client has told"), "{untold}");
    for (bytes, expected) in [(90_000, "through the relay"), (900, "none of it")] {
        let closed = closed("alice", "call_ended", bytes);
        let told = said(permissive(), packets.clone().into_iter().chain([(13.0, closed)]));
        assert!(told.ends_with(expected), "{told}");
    }
}

fn closed(name: &str, reason: &str, bytes: u64) -> What {
    What::AllocationClosed {
        user: user(name),
        reason: reason.to_owned(),
        bytes_up: bytes,
        bytes_down: bytes,
        refused_packets: 0,
        lost_packets: 0,
    }
}

#[test]
fn media_that_began_late() {
    let late = [(33.0, path("alice", "host")), (45.0, over("hangup", None))];
    assert_eq!(
        said(trickled(31.0), late),
        "the call ended after 45.0 s; media went directly (host), but began 31.0 s after the \
         answer: alice's candidates reached bob after 31.0 s"
    );
}

#[test]
fn media_that_stopped() {
    let begun = || permissive().into_iter().chain([(3.0, path("alice", "relay"))]).collect();
    let session = |change| What::Session { user: user("bob"), change };
    assert_eq!(
        said(
            begun(),
            [(20.0, session(SessionChange::Lost)), (50.0, over("connection_lost", None))]
        ),
        "the call ended with connection_lost after 50.0 s, 47.0 s of them with media: bob's \
         connection to the server was lost after 20.0 s"
    );
    assert_eq!(
        said(begun(), [(600.0, closed("bob", "expired", 9)), (700.0, over("ice_failed", None))]),
        "bob's allocation was closed after 600.0 s (expired), while media went through it"
    );
    let ip = "192.0.2.10".parse().ok();
    let expired = What::Expired { user: user("bob"), peer: ip, channel: None };
    assert_eq!(
        said(
            begun(),
            [
                (302.0, expired),
                (303.0, refused_packet("bob", Way::ToClient, ALICE_RELAY, "no_permission")),
            ]
        ),
        "bob's permission for 192.0.2.10 expired after 302.0 s, and from 303.0 s on its packets \
         were not relayed"
    );
}

#[test]
fn a_connection_that_broke_before_there_was_media() {
    let session = |change| What::Session { user: user("bob"), change };
    let lost = (3.0, session(SessionChange::Lost));
    let over = || (33.0, over("connection_lost", None));
    assert_eq!(
        said(answered(), [lost.clone(), over()]),
        "bob's connection to the server was lost after 3.0 s, before there was media: the call \
         ended with connection_lost after 33.0 s"
    );
    let resumed = said(answered(), [lost, (4.0, session(SessionChange::Resumed)), over()]);
    assert!(resumed.starts_with("neither side sent an offer"), "{resumed}");
}

#[test]
fn the_rest_is_said_to_be_unknown() {
    assert_eq!(
        said(trickled(2.3), [(30.0, over("ice_failed", Some("alice")))]),
        "the call ended with ice_failed after 30.0 s, and nothing shows that it had media, and no \
         side has an allocation at the relay"
    );
    let late = said(trickled(20.0), [(30.0, event("bob", "call:state"))]);
    assert_eq!(
        late,
        "nothing shows that the call has media so far, after 30.0 s, and no side has an \
         allocation at the relay; alice's candidates reached bob after 20.0 s"
    );
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
