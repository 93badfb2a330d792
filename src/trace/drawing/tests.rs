use super::*;
use crate::trace::{
    details::Way,
    document::What,
    testing::{allocated, event, host, packet, relay, request, trace, turn, user, with},
};

/// Returns the arrows and notes in short.
fn drawn(steps: Vec<(f64, What)>) -> Vec<String> {
    let short = |item: &Item| match &item.mark {
        Mark::Arrow(Arrow { from, to, label, .. }) => {
            format!("{}>{} {} ×{}", from.id(), to.id(), label.name, item.times)
        }
        Mark::Note(_, _, text) => text.clone(),
        Mark::Heading(_, _, text) => format!("[{text}]"),
    };
    Drawing::new(&trace(steps)).items.iter().map(short).collect()
}

fn candidate(at: f64, address: &str) -> [(f64, What); 2] {
    [
        (at, with(request("alice", "ice:candidate"), host(address))),
        (at, with(event("bob", "ice:candidate"), host(address))),
    ]
}

#[test]
fn equal_arrows_in_a_row_are_one() {
    let refresh = |at| (at, turn("alice", "Refresh", None, None));
    assert_eq!(
        drawn(vec![refresh(1.0), refresh(2.0), refresh(3.0), (4.0, request("alice", "call:ring"))]),
        ["A>TURN Refresh ×3", "A>S call:ring ×1"]
    );
}

#[test]
fn equal_pairs_in_a_row_are_one() {
    let mut steps = [1.0, 2.0, 3.0].map(|at| candidate(at, "10.0.0.1:9")).concat();
    steps.extend([(4.0, with(request("alice", "ice:candidate"), relay("192.0.2.1:9")))]);
    let drawing = Drawing::new(&trace(steps.clone()));
    let times: Vec<_> = drawing.items.iter().map(|item| (item.at_ms, item.until_ms)).collect();
    assert_eq!(times[1..], [(1000.0, 3000.0), (1000.0, 3000.0), (4000.0, 4000.0)]);
    assert_eq!(
        drawn(steps),
        [
            "[ICE Candidate Gathering]",
            "A>S ice:candidate ×3",
            "S>B ice:candidate ×3",
            // Another type.
            "A>S ice:candidate ×1"
        ]
    );
}

#[test]
fn a_packet_is_drawn_as_far_as_it_is_known() {
    let known = |address| {
        let mut steps = candidate(0.0, "10.0.0.1:9").to_vec();
        steps.push((1.0, with(request("bob", "ice:candidate"), host("203.0.113.5:9"))));
        steps.push((1.5, allocated("bob", "192.0.2.1:50")));
        steps.push((2.0, packet("alice", Way::ToPeer, address)));
        drawn(steps).split_off(5)
    };
    let whole = ["A>TURN Relay media ×1", "TURN>B Relay media ×1"];
    assert_eq!(known("203.0.113.5:9"), whole);
    // A NAT gave it another port.
    assert_eq!(known("203.0.113.5:77"), whole);
    // The relay's own address, and that of nobody.
    assert_eq!(known("192.0.2.1:50"), whole[..1]);
    assert_eq!(known("203.0.113.6:9"), whole[..1]);
}

#[test]
fn each_phase_begins_once() {
    let steps = vec![
        (0.0, request("alice", "call:initiate")),
        (1.0, request("bob", "call:accept")),
        (2.0, request("alice", "signal:offer")),
        (3.0, request("bob", "signal:offer")),
        (4.0, request("alice", "call:connected")),
        (5.0, request("bob", "call:connected")),
        (6.0, request("bob", "call:end")),
    ];
    let headings: Vec<_> = drawn(steps).into_iter().filter(|text| text.starts_with('[')).collect();
    assert_eq!(
        headings,
        [
            "[User initiates call]",
            "[User answers]",
            "[SDP Exchange (Offer/Answer)]",
            "[Peer Connection Established]",
            "[End call]"
        ]
    );
}

#[test]
fn only_those_who_took_part_are_drawn() {
    let mut trace = trace(vec![(0.0, request("alice", "call:ring")), (1.0, event("bob", "x"))]);
    trace.users = vec![user("alice")];
    let drawing = Drawing::new(&trace);
    assert_eq!(drawing.users, ["alice"]);
    assert_eq!(drawing.items.len(), 1);
    assert_eq!(drawing.places, [Place::User(0), Place::Signaling]);
}
