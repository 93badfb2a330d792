//! The timers of the hub.

use callbox_base::ids::{CallId, SessionId};

use super::member::{Lane, Member};

/// What the hub waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A session's token expires, or is about to.
    Token(SessionId),
    /// A session without a connection has been kept long enough.
    Away(SessionId),
    /// A call has rung long enough.
    Ring(CallId),
    /// A member of a call that lost its connection has been waited for long enough.
    Grace(Member),
    /// The candidates of a member have waited for their description long enough.
    Hold(Lane),
    /// The relay credentials of a call's members are half as old as they get.
    Credentials(CallId),
    /// The oldest call that is over has been shown long enough.
    ForgetEnded,
    /// The device that a call is handed to has rung long enough.
    Transfer(CallId),
    /// Whoever was asked whether to hold a call has had enough time.
    Asked(CallId),
    /// The report of a call's end has waited for the relay long enough.
    Settle(CallId),
}
