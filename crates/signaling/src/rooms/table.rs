//! The live rooms.

use std::collections::BTreeMap;

use callbox_base::ids::{CallId, RoomId};

use super::Room;
use crate::{
    CallState, EnumCounts, RequestError,
    call::{Live, Step},
};

/// The live rooms, by call id and by name.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    live: Live<Room>,
    by_name: BTreeMap<RoomId, CallId>,
}

impl Rooms {
    /// Returns the room that has this name now.
    pub(crate) fn by_name(&self, name: &RoomId) -> Option<&Room> {
        self.get(*self.by_name.get(name)?)
    }

    /// Notes changes from now on.
    pub(crate) fn watch(&mut self) {
        self.live.watch();
    }

    /// Takes out the ids of the rooms that may have changed.
    pub(crate) fn take_touched(&mut self) -> Vec<CallId> {
        self.live.take_touched()
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&Room> {
        self.live.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Room> {
        self.live.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn by_state(&self) -> &EnumCounts<CallState> {
        self.live.by_state()
    }

    pub(crate) fn get_mut(&mut self, id: CallId) -> Option<&mut Room> {
        self.live.get_mut(id)
    }

    pub(crate) fn step(&mut self, id: CallId, step: Step) -> Result<(), RequestError> {
        self.live.step(id, step)
    }

    /// Adds a room. No other has its name.
    pub(crate) fn insert(&mut self, room: Room) {
        self.by_name.insert(room.name().clone(), room.id());
        self.live.insert(room);
    }

    pub(crate) fn remove(&mut self, id: CallId) -> Option<Room> {
        let room = self.live.remove(id)?;
        self.by_name.remove(room.name());
        Some(room)
    }
}
