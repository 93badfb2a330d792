//! The reasons for which streams end, as metrics have them.

/// The reason for which a stream of a client has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The client has closed it.
    Closed,
    /// The system says that it is broken, or what came was no TLS.
    Error,
    /// Its bytes were no message, or one that is too long.
    BadFrame,
    /// It said nothing for too long and had no allocation.
    Silent,
    /// It had no allocation for too long, whatever it said.
    Unused,
    /// The client asks, and does not read the answers.
    Stuck,
    /// The server stops.
    Stopped,
}

impl StreamEnd {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 7] = [
        Self::Closed,
        Self::Error,
        Self::BadFrame,
        Self::Silent,
        Self::Unused,
        Self::Stuck,
        Self::Stopped,
    ];

    /// Returns the reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Error => "error",
            Self::BadFrame => "bad_frame",
            Self::Silent => "silent",
            Self::Unused => "unused",
            Self::Stuck => "stuck",
            Self::Stopped => "stopped",
        }
    }
}
