use callbox_base::ids::UserId;
use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::trace::{
    details::{EventFate, Way},
    document::What,
    testing::{any_trace, faulty_event, packet, path, relayed_call, request, trace, user},
};

/// Returns the expression for the lines that a diagram may have. A label has no character of ASCII
/// that Mermaid or HTML obeys.
fn grammar() -> Regex {
    let id = "(?:[A-R]|U[0-9]+|S|STUN|TURN)";
    let label = r"[A-Za-z0-9 .,:{}()/_\-=+*?!@[^\x00-\x7f\u{80}-\u{9f}\u{2028}\u{2029}\u{fb02}]]+";
    let lines = [
        "sequenceDiagram".to_owned(),
        format!(" {{4}}participant {id} as {label}"),
        format!(" {{4,8}}{id}(?:->>|-->>|-x){id}: {label}"),
        format!(" {{4,8}}Note over {id}(?:,{id})?: {label}"),
        r" {4}alt P2P fails \(NAT traversal issue\)".to_owned(),
        " {4}end".to_owned(),
    ];
    Regex::new(&format!("^(?:{})$", lines.join("|"))).unwrap()
}

#[test]
fn the_fixture_is_drawn_as_the_specification_draws_a_call() {
    assert_eq!(mermaid(&relayed_call()), include_str!("../../../tests/fixtures/trace.mmd"));
}

#[test]
fn direct_media_is_an_arrow_between_the_clients() {
    let of = |steps| mermaid(&trace(steps));
    let two = of(vec![
        (0.0, request("alice", "call:initiate")),
        (1.0, request("bob", "call:accept")),
        (2.5, path("bob", "srflx")),
    ]);
    let expected = "    Note over A,B: Peer Connection Established
    B->>S: call:stats · path srflx · 2.500 s
    B-->>A: Direct P2P media stream · srflx · 2.500 s
";
    assert!(two.ends_with(expected), "{two}");
    // Whom media goes to is not known with three.
    let three = of(vec![
        (0.0, request("alice", "room:join")),
        (1.0, request("bob", "room:join")),
        (1.5, request("carol", "room:join")),
        (2.5, path("bob", "srflx")),
    ]);
    assert!(!three.contains("Direct"), "{three}");
    assert!(three.contains("    participant C as carol\n"), "{three}");
    assert!(three.contains("Note over A,C: Peer Connection Established\n"), "{three}");
}

#[test]
fn relayed_packets_are_in_a_block_of_their_own() {
    let text = mermaid(&trace(vec![
        (0.0, request("alice", "call:initiate")),
        (1.0, packet("alice", Way::ToPeer, "203.0.113.5:9")),
        (1.1, packet("alice", Way::ToClient, "203.0.113.5:9")),
        (1.2, faulty_event("alice", "call:ended", EventFate::Dropped)),
        (1.3, packet("alice", Way::ToClient, "203.0.113.6:9")),
    ]));
    let expected = "    alt P2P fails (NAT traversal issue)
        A->>TURN: Relay media · first packet to 203.0.113.5:9 · 1.000 s
        TURN->>A: Relay media · first packet from 203.0.113.5:9 · 1.100 s
    end
    S-xA: call:ended · dropped by a fault · 1.200 s
    alt P2P fails (NAT traversal issue)
        TURN->>A: Relay media · first packet from 203.0.113.6:9 · 1.300 s
    end
";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn names_are_labels_and_nothing_else() {
    let mut trace = trace(vec![(0.0, request("alice", "call:initiate"))]);
    let name = "a;b#c<script>%%{init}\u{202e}`\"&";
    let what = What::Session { user: user(name), change: crate::trace::SessionChange::Lost };
    trace.users = vec![UserId::new(name).unwrap()];
    trace.steps[0].what = what;
    let text = mermaid(&trace);
    assert!(text.contains("    participant A as a；b＃c＜script＞％％{init}｀＂＆\n"), "{text}");
    trace.omitted = 7;
    assert!(mermaid(&trace).contains("    Note over S: 7 steps are missing\n"));
}

#[test]
fn the_grammar_refuses_what_is_dangerous() {
    let grammar = grammar();
    assert!(grammar.is_match("    A->>S: call:initiate { a, b } · é · 1.0 s"));
    for bad in
        ["    A->>S: a;b", "    A->>S: #35", "    A->>S: <b>", "    A->>S: \u{85}", "    X: y"]
    {
        assert!(!grammar.is_match(bad), "{bad}");
    }
}

proptest! {
    #[test]
    fn every_line_matches_the_grammar(trace in any_trace()) {
        let grammar = grammar();
        let text = mermaid(&trace);
        let lines = text.strip_suffix('\n').unwrap().split('\n');
        for line in lines {
            prop_assert!(grammar.is_match(line), "{:?}", line);
        }
    }
}
