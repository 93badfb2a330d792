//! The timers of the hub.

use callbox_base::ids::{CallId, SessionId};

use super::member::{Lane, Member};

/// Something that the hub waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The token of a session is to be checked.
    Token(SessionId),
    /// The resume window of a session without a connection ends.
    Away(SessionId),
    /// The time for which a call rings ends.
    Ring(CallId),
    /// The reconnect grace of a member ends.
    Grace(Member),
    /// The candidates in a journal have waited for their description long enough.
    Hold(Lane),
    /// The relay credentials of a call's members are to be refreshed.
    Credentials(CallId),
    /// The oldest call that is over is to be forgotten.
    ForgetEnded,
    /// The time for which the device rings that a call is transferred to ends.
    Transfer(CallId),
    /// The time for the decision about holding a call ends.
    HoldDecision(CallId),
    /// The report of a call's end waits for the relay no longer.
    Settle(CallId),
}
