//! The states of a call, and the steps between them.

use crate::{EndReason, ErrorCode, RequestError, wire_enums::wire_enum};

wire_enum! {
    /// The state of a call.
    pub enum CallState {
        /// Not begun.
        Idle = "idle",
        /// No device of the callee has it yet.
        Initiating = "initiating",
        /// At least one device of the callee has it.
        Ringing = "ringing",
        /// Accepted; the sides look for a path.
        Connecting = "connecting",
        /// A side said that media flows, or the SDP answer was relayed.
        Connected = "connected",
        /// Was connected; a side is lost, works on its media path or has changed its device.
        Reconnecting = "reconnecting",
        /// Ended without a failure.
        Ended = "ended",
        /// Ended by a failure.
        Failed = "failed",
    }
}

impl CallState {
    /// Returns true if media flows, or did and waits to flow again.
    pub fn has_media(self) -> bool {
        matches!(self, Self::Connected | Self::Reconnecting)
    }
}

/// A step from one state of a call to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The caller calls.
    Initiate,
    /// A device of the callee got it.
    Deliver,
    /// A device of the callee takes it.
    Accept,
    /// A second participant joins a room, which does not ring.
    Join,
    /// Media flows.
    Connect,
    /// Media waits for a side.
    Lose,
    /// Media flows again.
    Recover,
    /// It is over.
    End(EndReason),
}

/// A step that cannot be made from the state the call is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step:?} is not possible while the call is {state}")]
pub(crate) struct IllegalStep {
    /// The state that the call is in.
    pub state: CallState,
    /// The step that was tried.
    pub step: Step,
}

impl From<IllegalStep> for RequestError {
    fn from(illegal: IllegalStep) -> Self {
        let message = format!("That is not possible while the call is {}.", illegal.state);
        Self::new(ErrorCode::InvalidState, message)
    }
}

impl CallState {
    /// Returns the state after `step`. There are no other transitions.
    pub(crate) fn after(self, step: Step) -> Result<Self, IllegalStep> {
        Ok(match (self, step) {
            (Self::Idle, Step::Initiate) => Self::Initiating,
            (Self::Initiating, Step::Deliver) => Self::Ringing,
            (Self::Ringing, Step::Accept) => Self::Connecting,
            (Self::Initiating, Step::Join) => Self::Connecting,
            (Self::Connecting, Step::Connect) => Self::Connected,
            (Self::Connected, Step::Lose) => Self::Reconnecting,
            (Self::Reconnecting, Step::Recover) => Self::Connected,
            (state, Step::End(reason)) if !state.is_over() => match reason {
                EndReason::Unauthorized
                | EndReason::IceFailed
                | EndReason::ConnectionLost
                | EndReason::ServerCrashed
                | EndReason::CredentialsRevoked => Self::Failed,
                _ => Self::Ended,
            },
            (state, step) => return Err(IllegalStep { state, step }),
        })
    }

    /// Returns true if a device of the callee has taken the call, and it is not over.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Connecting | Self::Connected | Self::Reconnecting)
    }

    /// Returns true if nothing happens to the call any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WireEnum;

    #[test]
    fn a_call_passes_through_its_states() {
        let steps = [
            (Step::Initiate, CallState::Initiating),
            (Step::Deliver, CallState::Ringing),
            (Step::Accept, CallState::Connecting),
            (Step::Connect, CallState::Connected),
            (Step::Lose, CallState::Reconnecting),
            (Step::Recover, CallState::Connected),
            (Step::End(EndReason::Hangup), CallState::Ended),
        ];
        let mut state = CallState::Idle;
        for (step, then) in steps {
            state = state.after(step).unwrap();
            assert_eq!(state, then);
        }
    }

    #[test]
    fn nothing_happens_after_the_end() {
        let steps = [
            Step::Initiate,
            Step::Deliver,
            Step::Accept,
            Step::Join,
            Step::Connect,
            Step::Lose,
            Step::Recover,
            Step::End(EndReason::Hangup),
        ];
        for state in [CallState::Ended, CallState::Failed] {
            for step in steps {
                assert_eq!(state.after(step), Err(IllegalStep { state, step }));
            }
        }
    }

    #[test]
    fn any_call_that_is_not_over_can_fail() {
        for &state in CallState::ALL.iter().filter(|state| !state.is_over()) {
            let failed = state.after(Step::End(EndReason::ConnectionLost));
            assert_eq!(failed, Ok(CallState::Failed));
        }
    }

    #[test]
    fn only_a_ringing_call_is_accepted() {
        for &state in CallState::ALL {
            assert_eq!(state.after(Step::Accept).is_ok(), state == CallState::Ringing);
        }
    }
}
