//! Tests of the journal.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Payload;

fn keep(journal: &mut Journal, data: &Value, limits: &Config) -> Result<(), JournalFull> {
    let payload = Payload::from(data.clone());
    let candidate = Candidate::read(&payload.fields().unwrap()).unwrap();
    journal.keep_candidate(&JsonText::of(data), &candidate, limits)
}

fn note(journal: &mut Journal, data: &Value) -> usize {
    let payload = Payload::from(data.clone());
    journal.note_description(
        DescriptionKind::Offer,
        &Description::read(&payload.fields().unwrap()).unwrap(),
    )
}

fn sdp(ufrags: &[&str]) -> Value {
    let lines: String = ufrags.iter().map(|u| format!("a=ice-ufrag:{u}\r\n")).collect();
    json!({ "sdp": format!("v=0\r\n{lines}a=ice-pwd:x\r\n") })
}

fn candidate(n: u32) -> Value {
    json!({ "n": n, "candidate": { "candidate": "candidate:1" } })
}

fn candidate_of(n: u32, ufrag: &str) -> Value {
    json!({ "n": n, "candidate": { "candidate": "", "usernameFragment": ufrag } })
}

fn numbers(hand_over: &HandOver) -> Vec<u64> {
    hand_over.candidates.iter().map(|c| c.value()["n"].as_u64().unwrap()).collect()
}

#[test]
fn descriptions_leave_first_and_one_of_each_kind() {
    let limits = Config::default();
    let mut journal = Journal::default();
    keep(&mut journal, &candidate(1), &limits).unwrap();
    assert!(!journal.may_hand_over());
    for (kind, n) in
        [(DescriptionKind::Answer, 2), (DescriptionKind::Offer, 3), (DescriptionKind::Offer, 4)]
    {
        journal.keep_description(kind, &JsonText::of(&json!({ "n": n })), &limits).unwrap();
    }
    assert!(journal.may_hand_over());
    let hand_over = journal.hand_over(&limits);
    assert_eq!(
        hand_over.descriptions,
        [
            (DescriptionKind::Answer, JsonText::of(&json!({ "n": 2 }))),
            (DescriptionKind::Offer, JsonText::of(&json!({ "n": 4 })))
        ]
    );
    assert_eq!(numbers(&hand_over), [1]);
    assert_eq!((journal.len(), journal.bytes()), (0, 0));
}

#[test]
fn a_newer_generation_drops_the_candidates_of_the_older() {
    let limits = Config::default();
    let mut journal = Journal::default();
    let keep = |journal: &mut Journal, data| keep(journal, &data, &limits).unwrap();
    keep(&mut journal, candidate(1));
    assert_eq!(note(&mut journal, &sdp(&["one"])), 0);
    keep(&mut journal, candidate(2));
    keep(&mut journal, candidate_of(3, "one"));
    keep(&mut journal, candidate_of(4, "two"));
    assert_eq!(note(&mut journal, &sdp(&["one"])), 0);
    assert_eq!(note(&mut journal, &json!({ "sdp": "v=0\r\n" })), 0);
    assert_eq!(note(&mut journal, &json!({ "sdp": sdp(&["two"]) })), 3);
    keep(&mut journal, candidate(5));
    assert_eq!(numbers(&journal.hand_over(&limits)), [4, 5]);
}

#[test]
fn a_section_that_is_added_begins_no_generation() {
    let mut journal = Journal::default();
    note(&mut journal, &sdp(&["one"]));
    keep(&mut journal, &candidate(1), &Config::default()).unwrap();
    assert_eq!(note(&mut journal, &sdp(&["one", "two"])), 0);
    assert_eq!(journal.len(), 1);
}

proptest! {
    #[test]
    fn a_journal_does_not_exceed_its_limits(
        sizes in prop::collection::vec(0usize..400, 0..100),
        max_candidates in 0usize..20,
        max_bytes in 0usize..2000,
    ) {
        let limits = Config {
            journal_candidates: max_candidates,
            journal_bytes: max_bytes,
            ..Config::default()
        };
        let mut journal = Journal::default();
        let mut kept = 0;
        for size in sizes {
            let data = json!({ "candidate": "x".repeat(size) });
            kept += usize::from(keep(&mut journal, &data, &limits).is_ok());
            let text = JsonText::of(&data);
            let _ = journal.keep_description(DescriptionKind::Offer, &text, &limits);
            prop_assert!(journal.len() <= max_candidates);
            prop_assert!(journal.candidate_bytes <= max_bytes);
            prop_assert!(journal.bytes() <= 2 * max_bytes);
        }
        prop_assert_eq!(journal.hand_over(&limits).candidates.len(), kept);
    }
}
