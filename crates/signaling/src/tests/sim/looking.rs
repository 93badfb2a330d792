//! The invariants of calls after each input.

use super::Sim;
use crate::EndReason;

impl Sim {
    /// After each input: what is over was told to everyone who could hear it, and the books on
    /// candidates balance.
    pub(super) fn check_calls(&mut self) {
        let sessions = &self.sessions;
        for (id, call) in &mut self.calls {
            call.audience.retain(|session, _| sessions.contains_key(session));
            if !call.ended {
                continue;
            }
            let record = self.hub.call(self.now, *id);
            let away = &self.away;
            for (session, end) in call.audience.iter().filter(|(id, _)| !away.contains(id)) {
                let end = end.as_deref().expect("each session has received the end of the call");
                let elsewhere = call.offered_to.contains(session)
                    || end == EndReason::AnsweredElsewhere.as_str()
                    || end == EndReason::RejectedElsewhere.as_str();
                if let Some(record) = &record {
                    let reason = record.reason.expect("a call that is over has a reason");
                    assert!(elsewhere || end == reason.as_str(), "two reasons for one end");
                }
            }
            // A session that is away hears it once it is resumed.
            call.audience.retain(|session, end| away.contains(session) && end.is_none());
        }
        let stats = self.hub.stats();
        let counters = &stats.counters;
        assert_eq!(
            self.candidates_taken,
            counters.candidates_relayed
                + counters.candidates_dropped
                + stats.journal_candidates as u64,
            "a candidate was lost"
        );
    }
}
