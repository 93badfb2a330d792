use proptest::prelude::*;

use super::*;
use crate::trace::testing::{any_trace, relayed_call, request, trace};

#[test]
fn the_fixture_is_clear_at_100_columns() {
    let text = ladder(&relayed_call(), 100);
    assert_eq!(text, include_str!("../../../tests/fixtures/trace.txt"));
    assert!(text.lines().all(|line| columns(line) <= 100));
}

#[test]
fn long_names_are_cut_and_explained_above() {
    let text = ladder(&trace(vec![(0.0, request("alice@example.com", "room:join"))]), 100);
    assert!(
        text.starts_with("Call 01JNVH0A7GQ2W5E8R1T4Y6V9PB of alice@example.com (A)\n"),
        "{text}"
    );
    assert!(text.contains("A alice@… "), "{text}");
}

#[test]
fn a_room_of_many_has_letters() {
    let joins = (0..8).map(|n| (f64::from(n), request(&format!("somebody {n}"), "room:join")));
    let text = ladder(&trace(joins.collect()), 100);
    assert!(text.contains("  A     S     B     C     D     E     F     G     H\n"), "{text}");
    assert!(text.lines().all(|line| columns(line) <= 100), "{text}");
}

#[test]
fn the_last_line_is_the_diagnosis() {
    let mut trace = trace(vec![(0.0, request("alice", "call:initiate"))]);
    let last = |trace: &CallTrace| ladder(trace, 100).lines().last().map(str::to_owned);
    let computed = "Diagnosis: the callee has not answered yet, after 0.0 s";
    assert_eq!(last(&trace).as_deref(), Some(computed));
    trace.diagnosis = "as the server says".to_owned();
    assert_eq!(last(&trace).as_deref(), Some("Diagnosis: as the server says"));
}

proptest! {
    #[test]
    fn nothing_controls_the_terminal_and_the_words_are_aligned(trace in any_trace(), width in 0usize..200) {
        let text = ladder(&trace, width);
        prop_assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{:?}", text);
        // Each vertical line has its column everywhere, in spite of names of any width.
        let drawing = Drawing::new(&trace);
        let columns = Columns::new(&drawing, width);
        let rows = text.lines().skip_while(|line| !line.is_empty()).skip(2);
        for row in rows.take_while(|line| !line.is_empty()) {
            for place in &drawing.places {
                let found = row.chars().nth(columns.at(*place));
                prop_assert!(found.is_some_and(|char| "│●─╌▶◀✗".contains(char)), "{}", row);
            }
        }
    }

    #[test]
    fn a_call_of_two_fits(trace in any_trace()) {
        prop_assume!(trace.users.len() <= 2);
        for line in ladder(&trace, 100).lines() {
            prop_assert!(columns(line) <= 100, "{}", line);
        }
    }
}
