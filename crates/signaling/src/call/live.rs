//! The calls, or the rooms, that are not over.

use std::collections::BTreeMap;

use callbox_base::ids::CallId;

use super::{Call, CallState, Lifecycle, Step};
use crate::{EnumCounts, RequestError};

/// A call or a room, as [`Live`] keeps it.
pub(crate) trait HasLifecycle {
    fn lifecycle(&self) -> &Lifecycle;
    fn lifecycle_mut(&mut self) -> &mut Lifecycle;
}

/// The calls, or the rooms, that are not over, and their numbers by state.
#[derive(Debug)]
pub(crate) struct Live<T> {
    live: BTreeMap<CallId, T>,
    by_state: EnumCounts<CallState>,
    /// Those that may have changed, if that is noted; some of them twice.
    touched: Option<Vec<CallId>>,
}

/// The calls of two that are not over.
pub(crate) type Calls = Live<Call>;

impl<T> Default for Live<T> {
    fn default() -> Self {
        Self { live: BTreeMap::new(), by_state: EnumCounts::default(), touched: None }
    }
}

impl<T: HasLifecycle> Live<T> {
    /// Notes changes from now on.
    pub(crate) fn watch(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// Takes out the ids of those that may have changed.
    pub(crate) fn take_touched(&mut self) -> Vec<CallId> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn touch(&mut self, id: CallId) {
        if let Some(touched) = &mut self.touched
            && touched.last() != Some(&id)
        {
            touched.push(id);
        }
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&T> {
        self.live.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: CallId) -> Option<&mut T> {
        self.touch(id);
        self.live.get_mut(&id)
    }

    /// Returns the call for a request that has found it before.
    ///
    /// # Errors
    /// `call_not_found`
    pub(crate) fn find(&mut self, id: CallId) -> Result<&mut T, RequestError> {
        self.get_mut(id).ok_or_else(RequestError::call_not_found)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.live.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn by_state(&self) -> &EnumCounts<CallState> {
        &self.by_state
    }

    pub(crate) fn insert(&mut self, call: T) {
        let id = call.lifecycle().id();
        self.by_state.add(call.lifecycle().state());
        self.touch(id);
        self.live.insert(id, call);
    }

    pub(crate) fn remove(&mut self, id: CallId) -> Option<T> {
        let call = self.live.remove(&id)?;
        self.touch(id);
        self.by_state.sub(call.lifecycle().state());
        Some(call)
    }

    /// Makes a step of a call's state.
    ///
    /// # Errors
    /// A refusal if the step is illegal or there is no such call; then nothing changes.
    pub(crate) fn step(&mut self, id: CallId, step: Step) -> Result<(), RequestError> {
        self.touch(id);
        let call = self.live.get_mut(&id).ok_or_else(RequestError::call_not_found)?;
        let before = call.lifecycle().state();
        let state = before.after(step)?;
        call.lifecycle_mut().set_state(state);
        self.by_state.add(state);
        self.by_state.sub(before);
        Ok(())
    }
}
