//! Descriptions and candidates that did not get through.

use super::story::{Story, name, time};
use crate::trace::{details::TracedCandidate, document::What};

/// The events without which the sides know nothing of each other.
const NEEDED: [&str; 3] = ["call:accepted", "signal:offer", "signal:answer"];

/// A fault of a test dropped an event that is needed.
pub(super) fn dropped(story: &Story<'_>) -> Option<String> {
    let users = story.users().iter();
    let mut events = users.flat_map(|user| NEEDED.map(|event| (user, event)));
    events.find_map(|(user, event)| {
        let at = story.dropped(user, event)?;
        story.reached(user, event).is_none().then(|| {
            let (user, at) = (name(user), time(at));
            format!("{user} never got {event}: a test's fault dropped it after {at}")
        })
    })
}

/// The server refused a description, or candidates.
pub(super) fn refused(story: &Story<'_>) -> Option<String> {
    ["signal:offer", "signal:answer", "ice:candidate"].into_iter().find_map(|event| {
        let (user, at, code) = story.refused(event)?;
        Some(format!("{}'s {event} was refused with {code} after {}", name(user), time(at)))
    })
}

/// There is no offer, or no answer to it.
pub(super) fn incomplete(story: &Story<'_>) -> Option<String> {
    story.answered()?;
    let Some((offered, from)) = story.requested("signal:offer") else {
        return Some(format!("neither side sent an offer {}", so_far(story)));
    };
    if story.requested("signal:answer").is_some() {
        return None;
    }
    let mut others = story.pairs().filter(|(user, _)| *user == from).map(|(_, other)| other);
    let (to, whose) = (others.next()?, name(from));
    Some(match story.reached(to, "signal:offer") {
        Some(at) => format!(
            "{} sent no answer to {whose}'s offer, which came after {} {}",
            name(to),
            time(at),
            so_far(story)
        ),
        None => format!("{whose}'s offer of {} never reached {}", time(offered), name(to)),
    })
}

fn so_far(story: &Story<'_>) -> String {
    match story.over() {
        Some(over) => format!("(the call ended with {} after {})", over.reason, time(over.at)),
        None => format!("({} after the call began)", time(story.last())),
    }
}

/// A fault of a test dropped all candidates to a user.
pub(super) fn candidates_dropped(story: &Story<'_>) -> Option<String> {
    story.users().iter().find_map(|user| {
        let at = story.dropped(user, "ice:candidate")?;
        let is_any = story.reached(user, "ice:candidate").is_some();
        (!is_any).then(|| {
            let (user, at) = (name(user), time(at));
            format!("{user} never got a candidate: a test's fault dropped them from {at} on")
        })
    })
}

/// A user sent no candidate, though the other side could have used some.
pub(super) fn no_candidate(story: &Story<'_>) -> Option<String> {
    story.answered()?;
    let has_sent = |by| {
        let is_candidate = |what: &What| match what {
            What::Request { user, facts, error: None, .. } => {
                user == by
                    && matches!(&facts.candidate, Some(candidate) if *candidate != TracedCandidate::End)
            }
            _ => false,
        };
        story.first(is_candidate).is_some()
    };
    let silent: Vec<_> = story.users().iter().filter(|user| !has_sent(*user)).collect();
    let end = so_far(story);
    match silent.as_slice() {
        [] => None,
        [user] => Some(format!("{} sent no candidate {end}", name(user))),
        _ if silent.len() == story.users().len() => Some(format!("no side sent a candidate {end}")),
        [first, ..] => Some(format!("{} and others sent no candidate {end}", name(first))),
    }
}
