//! The involvement of sessions in a call.

use super::Role;

/// The involvement of a session in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Involvement {
    /// It is a side of the call.
    Side(Role),
    /// It is a device of the callee that rings.
    Ringing,
    /// It is a device that rings, since this side is transferred to it.
    Offered(Role),
}
