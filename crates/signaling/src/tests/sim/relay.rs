//! The inputs of the relay and of the back end.

use std::sync::Arc;

use callbox_base::usage::Usage;
use rand::Rng;

use super::Sim;
use crate::Input;

impl Sim {
    /// Somebody says whether a call that reaches nobody is to wait.
    pub(super) fn answer_hold(&mut self) {
        let Some(call) = self.asked_to_hold.pop() else { return };
        let hold = self.rng.random_bool(0.7);
        self.input(Input::HoldDecision { call, hold });
    }

    pub(super) fn relay_opened(&mut self) {
        let Some(call) = self.any_call() else { return };
        let usage = Arc::new(Usage::default());
        self.allocations.push((call, usage.clone()));
        self.input(Input::RelayOpened { call, usage });
    }

    pub(super) fn relay_closed(&mut self) {
        let Some((call, usage)) = self.allocations.pop() else { return };
        usage.add_up(1);
        self.input(Input::RelayClosed { call, usage });
    }
}
