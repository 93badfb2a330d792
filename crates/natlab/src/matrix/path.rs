//! The path between two peers.

use std::{fmt, str::FromStr};

use callbox_natlab_peer::{CandidateType, Selected, Transport};
use serde::{Deserialize, Serialize};

/// The path between two peers, the best one first.
///
/// Its text is `direct`, `relayed (tls)` or `failed`, for example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Path {
    /// No server is on it.
    Direct,
    /// It leads through TURN servers. Of the transports to these it is the last one in the order
    /// UDP, TCP and TLS; `None` if the peers have not named it.
    Relayed(Option<Transport>),
    /// There is none.
    Failed,
}

impl Path {
    /// Returns the path between two peers that have selected these pairs.
    pub(super) fn of(a: &Selected, b: &Selected) -> Self {
        let ends = [&a.local, &a.remote, &b.local, &b.remote];
        let is_relay = |kind| kind == CandidateType::Relay;
        match ends.iter().any(|end| is_relay(end.kind)) {
            true => Self::Relayed(ends.iter().filter_map(|end| end.relay).max()),
            false => Self::Direct,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Relayed(None) => f.write_str("relayed"),
            Self::Relayed(Some(transport)) => write!(f, "relayed ({transport})"),
            Self::Failed => f.write_str("failed"),
        }
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let transports = [None, Some(Transport::Udp), Some(Transport::Tcp), Some(Transport::Tls)];
        let relayed = transports.map(Self::Relayed);
        [Self::Direct, Self::Failed].into_iter().chain(relayed).find(|path| path.to_string() == text).ok_or_else(|| {
            format!("`{text}` is no path; expected direct, relayed (udp), relayed (tcp), relayed (tls) or failed")
        })
    }
}

impl TryFrom<String> for Path {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.to_string()
    }
}
