//! The addresses that clients are not told, and the log line about them.

use std::fmt;

/// The reason why clients could not use an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is reachable only on this machine.
    Loopback,
    /// It is reachable only in its own network, and there is a public one.
    Private,
    /// The certificate, which is for these names, does not cover it.
    NotInCertificate(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("a loopback address"),
            Self::Private => f.write_str("a private address beside a public one"),
            Self::NotInCertificate(names) => {
                write!(f, "the certificate is for {names}, and browsers refuse it at an address")
            }
        }
    }
}

/// The addresses that are left out, each with its port and the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OmittedAddresses {
    /// The addresses of STUN and TURN without TLS.
    pub plain: Vec<(String, Reason)>,
    /// The addresses of TURN over TLS.
    pub tls: Vec<(String, Reason)>,
}

impl OmittedAddresses {
    /// Returns true if nothing is left out.
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.tls.is_empty()
    }
}

/// Formats the log line; writes nothing if no address is left out.
impl fmt::Display for OmittedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        let plain = self.plain.iter().map(|(address, reason)| format!("{address} ({reason})"));
        let tls = self.tls.iter().map(|(address, reason)| format!("{address} (TLS; {reason})"));
        let addresses: Vec<_> = plain.chain(tls).collect();
        let mut hints = Vec::new();
        if !self.plain.is_empty() {
            hints.push("--public-turn-uri turn:HOST:PORT");
        }
        if !self.tls.is_empty() {
            hints.push("--public-turn-uri turns:HOST:PORT");
        }
        if self.plain.iter().any(|(_, reason)| *reason == Reason::Private) {
            hints.push("--external-ip PUBLIC/PRIVATE behind a 1:1 NAT");
        }
        write!(
            f,
            "clients are not told of {}; say how they come there: {}",
            addresses.join(", "),
            hints.join(", ")
        )
    }
}
