//! `docs/protocol.md` names every word of the closed lists, and no other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::schemas;
use crate::{
    CallState, CloseReason, EndReason, ErrorCode, EventName, PresenceStatus, RequestName, WireEnum,
};

const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");

/// The words that a section of the document defines: the first code span of each row of its
/// tables.
fn defined(heading: &str) -> BTreeSet<&'static str> {
    let (_, section) = PROTOCOL.split_once(&format!("## {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

fn words<W: WireEnum>(as_str: fn(W) -> &'static str) -> BTreeSet<&'static str> {
    W::ALL.iter().map(|word| as_str(*word)).collect()
}

#[test]
fn the_document_and_the_code_have_the_same_lists() {
    assert_eq!(defined("Requests"), words(RequestName::as_str));
    assert_eq!(defined("Events"), words(EventName::as_str));
    assert_eq!(defined("Error codes"), words(ErrorCode::as_str));
    assert_eq!(defined("Reasons of `call:ended`"), words(EndReason::as_str));
    assert_eq!(defined("States of a call"), words(CallState::as_str));
    assert_eq!(defined("Presence"), words(PresenceStatus::as_str));
    assert_eq!(defined("Close reasons"), words(CloseReason::as_str));
}

/// Each request and each event has its heading with an example, and every example is JSON.
#[test]
fn every_event_has_an_example_that_parses() {
    let names = words(RequestName::as_str).into_iter().chain(words(EventName::as_str));
    for name in names {
        let (_, section) = PROTOCOL
            .split_once(&format!("### `{name}`"))
            .unwrap_or_else(|| panic!("{name} has no heading"));
        let section = section.split("\n### ").next().unwrap_or_default();
        assert!(section.contains("```json"), "{name} has no example");
    }
    for block in PROTOCOL.split("```json\n").skip(1) {
        let (example, _) = block.split_once("```").expect("the end of the example");
        for line in example.split("\n\n") {
            serde_json::from_str::<serde_json::Value>(line)
                .unwrap_or_else(|error| panic!("{error}: {line}"));
        }
    }
}

/// The examples under the heading of a request or an event are what the types say.
#[test]
fn every_example_is_as_the_types_say() {
    let mut checked = 0;
    for (section, asked) in [("Requests", true), ("Events", false)] {
        let (_, section) = PROTOCOL.split_once(&format!("## {section}\n")).expect("the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        for topic in section.split("\n### `").skip(1) {
            let (name, topic) = topic.split_once('`').expect("the end of the name");
            let blocks = topic.split("```json\n").skip(1).filter_map(|b| b.split("```").next());
            for example in blocks.flat_map(|block| block.split("\n\n")) {
                let example: Value = serde_json::from_str(example).expect("it is JSON");
                match &example {
                    example if example["ok"].is_boolean() => schemas::check_answer(name, example),
                    // The event for the other side, under the heading of the request.
                    example if !asked || example["from"].is_string() => {
                        schemas::check_event(name, example);
                    }
                    example => schemas::check_request(name, example),
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}");
}
