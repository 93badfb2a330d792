//! The rules on the relay.

use super::{ALICE, ALICE_RELAY, BOB_RELAY, permissive, said, trickled};
use crate::trace::{
    details::{TurnFate, Way},
    document::What,
    testing::{
        allocated, over, packet, path, permitted, refused_packet, relay, request, turn, user, with,
    },
};

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
