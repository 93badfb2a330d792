//! The faults that a test has injected into the call.

use std::collections::BTreeSet;

use super::story::Story;
use crate::trace::{
    details::{EventFate, TurnFate},
    document::What,
    text::printable,
};

/// Returns the end of the sentence, which counts the faults of a test; empty if there are none.
pub(super) fn summary(story: &Story<'_>) -> String {
    let count = |is_it: fn(&What) -> bool| story.steps().filter(|(_, what)| is_it(what)).count();
    let injected: BTreeSet<String> = story
        .steps()
        .filter_map(|(_, what)| match what {
            What::Fault { fault, .. } => Some(printable(fault)),
            _ => None,
        })
        .collect();
    let event = |fate| count_events(story, fate);
    let counted = [
        (event(EventFate::Dropped), "event dropped", "events dropped"),
        (event(EventFate::Delayed), "event held back", "events held back"),
        (event(EventFate::Duplicated), "event sent twice", "events sent twice"),
        (
            count(|what| matches!(what, What::Turn { fault: Some(TurnFate::Answered), .. })),
            "request to the relay refused",
            "requests to the relay refused",
        ),
        (
            count(|what| matches!(what, What::Turn { fault: Some(TurnFate::Silenced), .. })),
            "request to the relay not answered",
            "requests to the relay not answered",
        ),
        (
            count(|what| matches!(what, What::FirstLostPacket { .. })),
            "direction with lost packets",
            "directions with lost packets",
        ),
    ];
    let words = |(count, one, many): (usize, &str, &str)| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let all: Vec<_> = counted.into_iter().filter_map(words).chain(injected).collect();
    match all.is_empty() {
        true => String::new(),
        false => format!("; a test's faults: {}", all.join(", ")),
    }
}

fn count_events(story: &Story<'_>, fate: EventFate) -> usize {
    let is_it = |what: &What| matches!(what, What::Event { fault, .. } if *fault == Some(fate));
    story.steps().filter(|(_, what)| is_it(what)).count()
}
