//! The words of RFC 4787 for the behavior of a NAT.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The part of a remote endpoint on which a mapping or a filter depends (RFC 4787 §4.1 and §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behavior {
    /// It does not depend on the remote endpoint.
    EndpointIndependent,
    /// It depends on the address, not on the port.
    AddressDependent,
    /// It depends on address and port.
    AddressAndPortDependent,
}

impl Behavior {
    /// All three, the most permissive first.
    pub const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];

    /// Returns the term of RFC 4787.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

impl fmt::Display for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Behavior {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|behavior| behavior.name() == text).ok_or(())
    }
}

/// The choice of a mapping's external port (RFC 4787 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ports {
    /// The internal port is preserved.
    Preserved,
    /// Another port of the same parity.
    Parity,
    /// Another port.
    Random,
}

impl Ports {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Preserved, Self::Parity, Self::Random];

    /// Returns the name as it is written in a kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preserved => "preserved",
            Self::Parity => "parity",
            Self::Random => "random",
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Ports {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|ports| ports.name() == text).ok_or(())
    }
}
