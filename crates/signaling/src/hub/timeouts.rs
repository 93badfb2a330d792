//! The timers that are due.

use callbox_base::clock::Now;

use super::{
    Hub, call_end, credentials, push_wait, relaying, reporting,
    room_leave::{self, Leaving},
    session_close, tokens, transfer,
};
use crate::{EndReason, member::Member, timer::Timer};

/// Runs every timer that is due at `now`.
pub(super) fn run_due(hub: &mut Hub, now: Now) {
    while let Some(timer) = hub.timers.pop(now.instant) {
        match timer {
            Timer::Token(session) => tokens::check(hub, now, session),
            Timer::Away(session) => session_close::end(hub, now, session),
            Timer::Ring(call) => call_end::give_up(hub, now, call, EndReason::Timeout),
            Timer::Grace(Member::Side(call, _)) => {
                call_end::give_up(hub, now, call, EndReason::ConnectionLost);
            }
            Timer::Grace(Member::Participant(call, participant)) => {
                let leaving = Leaving::for_reason(EndReason::ConnectionLost);
                room_leave::leave(hub, now, call, participant, &leaving);
            }
            Timer::Hold(lane) => relaying::release(hub, now, lane),
            Timer::Credentials(call) => credentials::refresh(hub, now, call),
            Timer::Transfer(call) => transfer::give_up(hub, now, call),
            Timer::HoldDecision(call) => push_wait::decide(hub, now, call, false),
            Timer::Settle(call) => reporting::settle(hub, call),
            Timer::ForgetEnded => hub.ended.forget_until(now.instant, &mut hub.timers),
        }
    }
}
