//! The rules on calls that had media, and on the rest.

use super::{ALICE_RELAY, BOB_RELAY, answered, permissive, said, trickled};
use crate::trace::{
    details::{SessionChange, Way},
    document::What,
    testing::{event, over, packet, path, refused_packet, request, user},
};

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
fn media_that_did_not_come_back() {
    let stopped = |more: Vec<(f64, What)>| {
        let begun = [
            (3.0, request("alice", "call:connected")),
            (20.0, request("alice", "call:reconnecting")),
        ];
        let end = (60.0, over("hangup", Some("bob")));
        said(trickled(2.3), begun.into_iter().chain(more).chain([end]))
    };
    assert_eq!(
        stopped(vec![]),
        "alice's media stopped after 20.0 s and did not come back: the call ended with hangup \
         after 60.0 s"
    );
    let restored = stopped(vec![(21.0, request("alice", "call:connected"))]);
    assert!(restored.starts_with("the call ended after 60.0 s; media went"), "{restored}");
}
