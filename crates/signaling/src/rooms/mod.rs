//! Rooms: calls of up to eight, each with a way of its own to each other. Whoever joins a room that
//! nobody is in begins one life of it, which is a call with an id; the last one to leave ends it.
//!
//! | file | what lives there |
//! |---|---|
//! | `room` | one room, as it is and as it is shown |
//! | `table` | the rooms that there are |
//! | `coming` | devices join, are lost and come back |
//! | `leaving` | participants leave, and the last one ends the room |

mod join;
mod leave;
mod room;
mod table;

pub(super) use leave::Leaving;
pub(super) use room::{Occupant, Room};
pub(super) use table::Rooms;

/// How many participants a room has at most. Each sends to each other, so the work of every one of
/// them grows with it; more need a server that mixes or forwards media.
pub(super) const MAX_PARTICIPANTS: usize = 8;

/// How many devices of one user may be in a room, so that nobody takes every place of it.
pub(super) const MAX_DEVICES: usize = 2;
