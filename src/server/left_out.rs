//! The addresses that clients are not told of, and the one line that says so.

use std::fmt;

/// The reason why clients could not use an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It leads nowhere beyond this machine.
    Loopback,
    /// It leads nowhere beyond its own network, and there is one that does.
    Private,
    /// The certificate, which is for these names, is not for it.
    NotInCertificate(String),
}

impl fmt::Display for Why {
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
pub(super) struct LeftOut {
    /// Of STUN and TURN without TLS.
    pub plain: Vec<(String, Why)>,
    /// Of TURN over TLS.
    pub tls: Vec<(String, Why)>,
}

impl LeftOut {
    /// Returns true if nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.tls.is_empty()
    }
}

/// The line for the log; nothing where nothing is left out.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        let plain = self.plain.iter().map(|(place, why)| format!("{place} ({why})"));
        let tls = self.tls.iter().map(|(place, why)| format!("{place} (TLS; {why})"));
        let places: Vec<_> = plain.chain(tls).collect();
        let mut hints = Vec::new();
        if !self.plain.is_empty() {
            hints.push("--public-turn-uri turn:HOST:PORT");
        }
        if !self.tls.is_empty() {
            hints.push("--public-turn-uri turns:HOST:PORT");
        }
        if self.plain.iter().any(|(_, why)| *why == Why::Private) {
            hints.push("--external-ip PUBLIC/PRIVATE behind a 1:1 NAT");
        }
        write!(
            f,
            "clients are not told of {}; say how they come there: {}",
            places.join(", "),
            hints.join(", ")
        )
    }
}
