//! Rooms: calls of up to eight participants, each connected to each other. The first participant of
//! a room begins one life of it, which is a call with an id; the last one to leave ends it.
//!
//! | file | contents |
//! |---|---|
//! | `occupant` | one device in a room |
//! | `room` | one room, as it is and as it is shown |
//! | `table` | the rooms that there are |

mod occupant;
mod room;
mod table;

pub(super) use occupant::Occupant;
pub(super) use room::Room;
pub(super) use table::Rooms;

/// The largest number of participants of a room. Each sends to each other, so the work of every one
/// of them grows with it; more need a server that mixes or forwards media.
pub(super) const MAX_PARTICIPANTS: usize = 8;

/// The largest number of devices of one user in a room, so that nobody fills it.
pub(super) const MAX_DEVICES: usize = 2;
