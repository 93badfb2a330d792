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
            for (session, end_reason) in call.audience.iter().filter(|(id, _)| !away.contains(id)) {
                let end_reason =
                    end_reason.as_deref().expect("somebody was not told that the call is over");
                let elsewhere = call.offered_to.contains(session)
                    || end_reason == EndReason::AnsweredElsewhere.as_str()
                    || end_reason == EndReason::RejectedElsewhere.as_str();
                if let Some(record) = &record {
                    let reason = record.reason.expect("a call that is over has a reason");
                    assert!(elsewhere || end_reason == reason.as_str(), "two reasons for one end");
                }
            }
            // A session that is away hears it once it is resumed.
            call.audience
                .retain(|session, end_reason| away.contains(session) && end_reason.is_none());
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
