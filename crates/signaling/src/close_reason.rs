//! The reasons for which the server closes sessions.

use super::wire_enums::wire_enum;

wire_enum! {
    /// The reason for which the server closes a session.
    pub enum CloseReason {
        /// The token's time is over.
        TokenExpired = "token_expired",
        /// Too many connections of this user, or in all.
        TooManyConnections = "too_many_connections",
        /// It sent too many events, and went on after it was told.
        RateLimited = "rate_limited",
        /// The server stops.
        ServerShutdown = "server_shutdown",
        /// The same user and device connected again.
        Replaced = "replaced",
        /// An administrator closed it.
        Kicked = "kicked",
    }
}
