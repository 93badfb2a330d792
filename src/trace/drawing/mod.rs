//! The drawing of a trace, from which the diagrams are made: arrows and notes in the order of time.
//!
//! | file | contents |
//! |---|---|
//! | `item` | the parts of a drawing |
//! | `cast` | the users that are drawn, and their addresses |
//! | `labels` | the words of the arrows and notes |
//! | `items` | a step as arrows and notes |
//! | `headings` | the notes that divide a call into its phases |
//! | `repeats` | equal arrows in a row, as one |

mod cast;
mod headings;
mod item;
mod items;
mod labels;
mod repeats;

pub(super) use self::item::{Arrow, Item, Line, Mark, Place};
use self::{cast::Cast, headings::Headings};
use crate::trace::document::CallTrace;

/// A trace as arrows and notes.
#[derive(Debug)]
pub(super) struct Drawing {
    /// The names of the users, which may be drawn.
    pub users: Vec<String>,
    /// The places that something happens at, from left to right.
    pub places: Vec<Place>,
    /// The arrows and notes, ordered by time.
    pub items: Vec<Item>,
}

impl Drawing {
    /// Draws a trace. Nothing is in it that is not in a step: headings alone are derived from the
    /// steps below them.
    pub(super) fn new(trace: &CallTrace) -> Self {
        let cast = Cast::new(trace);
        let mut headings = Headings::default();
        let mut items = Vec::new();
        for step in &trace.steps {
            let of_step = items::of_step(&cast, step);
            // A step of somebody who is not drawn has none.
            if !of_step.is_empty() {
                items.extend(headings.above(&cast, step));
            }
            items.extend(of_step);
        }
        let items = repeats::joined(items);
        let users = cast.names();
        let mut places: Vec<_> = (0..users.len()).map(Place::User).collect();
        places.insert(places.len().min(1), Place::Signaling);
        for place in [Place::Stun, Place::Turn] {
            if items.iter().any(|item| item.mark.is_at(place)) {
                places.push(place);
            }
        }
        Self { users, places, items }
    }
}

#[cfg(test)]
mod tests;
