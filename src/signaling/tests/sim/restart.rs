//! The server is stopped, and another one is started in its place.

use rand::Rng;

use super::Sim;
use crate::signaling::{Hub, Input, SavedCalls};

impl Sim {
    /// The server stops: nobody is connected any more, and calls are over or kept.
    pub(super) fn stop(&mut self) {
        self.input(Input::Shutdown);
        assert!(self.sessions.is_empty() && self.away.is_empty(), "a session outlived the server");
        let kept = self.hub.config.keep_calls;
        assert!(kept || self.calls.values().all(|call| call.ended), "a call outlived the server");
        assert!(self.rooms.values().all(|room| room.ended), "a room outlived the server");
        while !self.allocations.is_empty() {
            self.relay_closed();
        }
        self.input(Input::RelayStopped);
    }

    /// The next one goes on with its calls, and remembers nothing else.
    pub(super) fn restart(&mut self) {
        self.stop();
        let saved = serde_json::to_string(&self.hub.saved_calls()).unwrap();
        let saved: SavedCalls = serde_json::from_str(&saved).unwrap();
        self.log.push(format!("a new server with {} calls", saved.len()));
        self.past.push(self.hub.stats().counters);
        self.hub = Hub::new(self.hub.config.clone(), self.rng.random());
        self.restored = self.hub.restore(self.now, saved) as u64;
        self.all_restored += self.restored;
        let live = self.calls.values().filter(|call| !call.ended).count() as u64;
        assert_eq!(self.restored, live, "a call was lost with the server");
        self.calls.values_mut().for_each(|call| call.next = None);
        self.named.clear();
        self.asked_to_hold.clear();
        self.kicked.clear();
        self.candidates_taken = self.hub.stats().journal_candidates as u64;
        self.drain();
    }
}
