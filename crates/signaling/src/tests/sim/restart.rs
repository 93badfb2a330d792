//! The server is stopped, and the next one is started.

use rand::Rng;

use super::Sim;
use crate::{Hub, Input, PreviousStop};

impl Sim {
    /// The server stops: nobody is connected any more, and calls are over or kept.
    pub(super) fn stop(&mut self) {
        self.input(Input::Shutdown);
        assert!(self.sessions.is_empty() && self.away.is_empty(), "a session outlived the server");
        let kept = self.hub.config().keep_calls;
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
        self.go_on(PreviousStop::Orderly);
    }

    /// The server is killed; the next one goes on with its calls all the same, and rooms are over.
    pub(super) fn crash(&mut self) {
        self.sessions.clear();
        self.away.clear();
        self.readers.clear();
        self.in_view.clear();
        self.views.clear();
        self.allocations.clear();
        self.calls.values_mut().for_each(|call| call.audience.clear());
        self.rooms.values_mut().for_each(|room| room.ended = true);
        self.crashes += 1;
        self.go_on(PreviousStop::Crashed(self.now.unix));
    }

    fn go_on(&mut self, stopped: PreviousStop) {
        let found = std::mem::take(&mut self.kept);
        self.log.push(format!("a new server with {} entries, {stopped:?}", found.len()));
        self.past.push(self.hub.stats().counters);
        self.hub = Hub::new(self.hub.config().clone(), self.rng.random());
        let restored = self.hub.restore(self.now, &found.into(), stopped);
        assert_eq!(restored.unreadable, 0);
        self.restored = restored.live as u64;
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
