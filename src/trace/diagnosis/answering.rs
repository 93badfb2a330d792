//! Calls that nobody took.

use super::story::{Over, Story, name, time};

/// A trace without a step.
pub(super) fn nothing(story: &Story<'_>) -> Option<String> {
    story.steps().next().is_none().then(|| "the trace has no steps".to_owned())
}

/// The server refused to begin the call, or the answer to it.
pub(super) fn refused(story: &Story<'_>) -> Option<String> {
    let names = ["call:initiate", "room:join", "call:accept"];
    let (event, (user, at, code)) =
        names.into_iter().find_map(|event| Some((event, story.refused(event)?)))?;
    // Another device or another user may have done it all the same.
    story
        .requested(event)
        .is_none()
        .then(|| format!("{}'s {event} was refused with {code} after {}", name(user), time(at)))
}

/// A room in which there was one user alone.
pub(super) fn alone(story: &Story<'_>) -> Option<String> {
    let [user] = story.users() else { return None };
    let until = match story.over() {
        Some(over) => format!(": it ended with {} after {}", over.reason, time(over.at)),
        None => String::new(),
    };
    story.is_room().then(|| format!("nobody joined {} in the room{until}", name(user)))
}

/// The call is over, and nobody has answered it.
pub(super) fn unanswered(story: &Story<'_>) -> Option<String> {
    let Over { at, reason, user } = story.over()?;
    if story.is_room() || story.answered().is_some() {
        return None;
    }
    let after = time(at);
    let ended = format!("the call ended with {reason} after {after}");
    let caller = story.users().first().map_or_else(|| "the caller".to_owned(), name);
    let callee = story.users().get(1);
    let known = callee.map_or_else(|| "the callee".to_owned(), name);
    let is_reached = callee.is_some_and(|callee| story.reached(callee, "call:incoming").is_some());
    let dropped = callee.and_then(|callee| story.dropped(callee, "call:incoming"));
    Some(match (reason.as_str(), dropped) {
        ("cancelled", _) => format!("{caller} took the call back after {after}, unanswered"),
        ("rejected", _) => {
            format!("{} declined the call after {after}", user.map_or(known, name))
        }
        (_, Some(dropped)) if !is_reached => format!(
            "{known} never got call:incoming, since a test's fault dropped it after {}: {ended}",
            time(dropped)
        ),
        ("busy", _) => format!("{known} was busy: {ended}"),
        ("offline", _) => format!("{known} had no device connected: {ended}"),
        _ if !is_reached => format!("{known} never got the call: {ended}"),
        _ => format!("{known} never answered: {ended}"),
    })
}

/// The call is not over, and nobody has answered it yet.
pub(super) fn ringing(story: &Story<'_>) -> Option<String> {
    let is_waiting = !story.is_room()
        && story.answered().is_none()
        && story.requested("call:initiate").is_some();
    let callee = story.users().get(1).map_or_else(|| "the callee".to_owned(), name);
    is_waiting.then(|| format!("{callee} has not answered yet, after {}", time(story.last())))
}
