//! The diagnosis of a trace: the fault that is found in it, or the way in which the call went, in
//! one sentence.
//!
//! | file | contents |
//! |---|---|
//! | `story` | what the rules ask about a trace |
//! | `media` | the path of the media, as far as it is known |
//! | `answering` | calls that nobody took |
//! | `exchange` | descriptions and candidates that did not get through |
//! | `relaying` | the relay: credentials, permissions, packets |
//! | `ending` | calls that had media, and the rest |
//! | `faults` | what a test has done to the call |
//!
//! The first rule that applies has the sentence: the rules are in the order in which the causes
//! exclude each other, and those that explain more come first.

mod answering;
mod ending;
mod exchange;
mod faults;
mod media;
mod relaying;
mod story;

use self::story::Story;
use super::document::CallTrace;

/// A rule: returns its sentence if it applies.
type Rule = fn(&Story<'_>) -> Option<String>;

/// The rules.
const RULES: [Rule; 25] = [
    answering::nothing,
    answering::refused,
    answering::alone,
    answering::unanswered,
    answering::ringing,
    ending::allocation_lost,
    ending::permission_expired,
    ending::failed_with_media,
    ending::media_stopped,
    ending::went_well,
    ending::disconnected,
    exchange::dropped,
    exchange::refused,
    exchange::incomplete,
    relaying::credentials_refused,
    relaying::silenced,
    relaying::request_failed,
    exchange::candidates_dropped,
    exchange::no_candidate,
    relaying::no_permission,
    relaying::packets_refused,
    relaying::packets_lost,
    relaying::one_way,
    relaying::unused,
    relaying::not_logged_in,
];

/// Returns the diagnosis of a trace, without its own field of that name.
pub fn diagnosis(trace: &CallTrace) -> String {
    let story = Story::new(trace);
    let found = RULES.iter().find_map(|rule| rule(&story));
    let mut text = found.unwrap_or_else(|| ending::unknown(&story));
    text += &faults::summary(&story);
    text
}

#[cfg(test)]
mod tests;
