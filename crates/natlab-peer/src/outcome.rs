//! The last line of a peer: the selected pair of candidates, or the reason why there is none.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The type of a candidate (RFC 8445 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidateType {
    /// An address of the host.
    Host,
    /// An address of a NAT, by a STUN server.
    Srflx,
    /// An address of a NAT, by the peer.
    Prflx,
    /// An address of a TURN server.
    Relay,
}

impl fmt::Display for CandidateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Srflx => "srflx",
            Self::Prflx => "prflx",
            Self::Relay => "relay",
        })
    }
}

/// The transport between a client and its TURN server, the best one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

/// One end of a selected pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The type of the candidate.
    #[serde(rename = "type")]
    pub kind: CandidateType,
    /// The address and port of the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The transport to the TURN server, of a relayed candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Transport>,
}

/// The selected pair of a peer, and the first packets on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// The candidate of this peer.
    pub local: Endpoint,
    /// The candidate of the other peer.
    pub remote: Endpoint,
    /// The time from the description of the other peer to the selected pair, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u64>,
    /// The number of packets that this peer has sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u32>,
    /// The number of these that the other peer has not received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u32>,
}

/// The last line of a peer, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// The peers are connected.
    Selected(Selected),
    /// They are not.
    Failed {
        /// The reason.
        failed: String,
    },
}

impl Outcome {
    /// Returns the outcome without a connection.
    pub(crate) fn failed(reason: impl fmt::Display) -> Self {
        Self::Failed { failed: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_needs_two_types_and_no_more() {
        let short = r#"{"local":{"type":"host"},"remote":{"type":"srflx"}}"#;
        let Outcome::Selected(selected) = serde_json::from_str(short).unwrap() else {
            panic!("it is selected");
        };
        assert_eq!((selected.local.kind, selected.lost), (CandidateType::Host, None));
        assert_eq!(serde_json::to_string(&Outcome::Selected(selected)).unwrap(), short);
        let failed = r#"{"failed":"no path"}"#;
        assert_eq!(serde_json::from_str::<Outcome>(failed).unwrap(), Outcome::failed("no path"));
        assert!(serde_json::from_str::<Outcome>(r#"{"local":{"type":"host"}}"#).is_err());
    }
}
