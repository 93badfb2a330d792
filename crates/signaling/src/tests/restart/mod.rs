//! A server that stops, and the next one that goes on with its calls.

mod crashed;
mod stopped;

use std::time::Duration;

use serde_json::json;

use super::{World, candidate, ms, sdp};
use crate::{CallState, Config, EndReason, Hub, Input, PreviousStop};

impl World {
    /// Stops the server, and starts another `after` a while.
    fn restart(&mut self, after: Duration) {
        self.restart_with(after, |_| {});
    }

    /// Starts the next server with another configuration.
    fn restart_with(&mut self, after: Duration, change: impl FnOnce(&mut Config)) {
        self.input(Input::Shutdown);
        self.input(Input::RelayStopped);
        self.next_server(after, PreviousStop::Orderly, change);
    }

    /// Kills the server, and starts another `after` a while.
    fn crash(&mut self, after: Duration, change: impl FnOnce(&mut Config)) {
        let crashed = PreviousStop::Crashed(self.now.unix);
        self.next_server(after, crashed, change);
    }

    fn next_server(
        &mut self,
        after: Duration,
        stopped: PreviousStop,
        change: impl FnOnce(&mut Config),
    ) {
        self.now = self.now + after;
        let mut config = self.hub.config().clone();
        change(&mut config);
        self.hub = Hub::new(config, [8; 32]);
        // Its log begins with what it puts out now.
        let found = std::mem::take(&mut self.kept);
        self.hub.restore(self.now, &found.into(), stopped);
        self.drain();
    }
}

fn world() -> World {
    World::new(|config| {
        config.keep_calls = true;
        config.report_calls = true;
    })
}
