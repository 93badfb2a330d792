//! The kinds of network that a side can be in, and their names.

mod behavior;
mod nat;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    behavior::{Behavior, Ports},
    nat::Nat,
    parse::KindError,
};

/// The way from a host to the public network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// A public IPv4 address.
    Public,
    /// One NAT.
    Nat,
    /// One NAT, and no UDP.
    UdpBlocked,
    /// One NAT, and nothing but TCP to port 443.
    Tcp443Only,
    /// Nothing but a forward proxy with CONNECT (RFC 9110 §9.3.6).
    HttpProxy,
    /// A NAT at home, and one of the carrier (RFC 6888).
    CarrierGrade,
    /// A public IPv6 address.
    Ipv6,
    /// A public IPv6 address behind a firewall that lets nothing in that was not asked for
    /// (RFC 6092).
    Ipv6Firewall,
}

impl Access {
    const ALL: [Self; 8] = [
        Self::Public,
        Self::Nat,
        Self::UdpBlocked,
        Self::Tcp443Only,
        Self::HttpProxy,
        Self::CarrierGrade,
        Self::Ipv6,
        Self::Ipv6Firewall,
    ];

    /// Returns the first word of a kind.
    fn name(self) -> &'static str {
        match self {
            Self::Public => "none",
            Self::Nat => "nat",
            Self::UdpBlocked => "udp-blocked",
            Self::Tcp443Only => "tcp-443-only",
            Self::HttpProxy => "http-proxy",
            Self::CarrierGrade => "carrier-grade",
            Self::Ipv6 => "ipv6",
            Self::Ipv6Firewall => "ipv6-firewall",
        }
    }
}

/// A kind of network: the way to the public network and, where there is a NAT, its behavior.
///
/// Its text is `symmetric`, `port-restricted,hairpin,timeout=5s` or
/// `mapping=address-dependent,filtering=endpoint-independent,ports=random`, for example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Kind {
    access: Access,
    nat: Nat,
}

impl Kind {
    fn new(access: Access) -> Self {
        let nat = Nat::new(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);
        let nat = match access {
            Access::CarrierGrade => nat.with_random_ports(),
            _ => nat,
        };
        Self { access, nat }
    }

    /// Creates a NAT of this behavior.
    pub fn of_nat(nat: Nat) -> Self {
        Self { access: Access::Nat, nat }
    }

    /// Returns one kind of each name and each combination: those that `callbox natlab verify`
    /// measures without an argument.
    pub fn named() -> &'static [&'static str] {
        &[
            "none",
            "full-cone",
            "address-restricted",
            "port-restricted",
            "symmetric",
            "mapping=address-dependent,filtering=endpoint-independent",
            "mapping=address-dependent,filtering=address-dependent",
            "mapping=address-dependent,filtering=address-and-port-dependent",
            "mapping=address-and-port-dependent,filtering=endpoint-independent",
            "mapping=address-and-port-dependent,filtering=address-dependent",
            "full-cone,ports=random",
            "port-restricted,ports=parity",
            "symmetric,ports=parity",
            "mapping=address-dependent,filtering=address-dependent,ports=parity",
            "full-cone,hairpin",
            "port-restricted,hairpin,timeout=2s",
            "symmetric,hairpin",
            "symmetric,timeout=2s",
            "carrier-grade",
            "udp-blocked",
            "tcp-443-only",
            "http-proxy",
            "ipv6",
            "ipv6-firewall",
        ]
    }

    /// Returns the way to the public network.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Returns the NAT towards the public network: of two in a row, the carrier's.
    pub fn nat(&self) -> Option<&Nat> {
        self.has_nat().then_some(&self.nat)
    }

    /// Returns the part of the remote endpoint on which UDP mappings depend, `None` without a NAT
    /// that lets UDP through.
    pub fn mapping(&self) -> Option<Behavior> {
        self.nat().filter(|_| self.allows_udp()).map(Nat::mapping)
    }

    /// Returns the part of the remote endpoint on which the filter for UDP depends, `None` if UDP
    /// is blocked.
    pub fn filtering(&self) -> Option<Behavior> {
        match self.access {
            Access::Public | Access::Ipv6 => Some(Behavior::EndpointIndependent),
            Access::Ipv6Firewall => Some(Behavior::AddressAndPortDependent),
            _ => self.nat().filter(|_| self.allows_udp()).map(Nat::filtering),
        }
    }

    /// Returns true if UDP packets can leave.
    pub fn allows_udp(&self) -> bool {
        !matches!(self.access, Access::UdpBlocked | Access::Tcp443Only | Access::HttpProxy)
    }

    /// Returns true if the host has an IPv4 address.
    pub fn has_ipv4(&self) -> bool {
        !self.has_ipv6()
    }

    /// Returns true if the host has an IPv6 address.
    pub fn has_ipv6(&self) -> bool {
        matches!(self.access, Access::Ipv6 | Access::Ipv6Firewall)
    }

    fn has_nat(&self) -> bool {
        !matches!(self.access, Access::Public | Access::Ipv6 | Access::Ipv6Firewall)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::new(self.access).nat;
        let nat = &self.nat;
        let usual = match (self.access, nat.alias()) {
            (Access::Nat, Some(alias)) => {
                f.write_str(alias)?;
                Nat::new(nat.mapping, nat.filtering)
            }
            (Access::Nat, None) => {
                write!(f, "mapping={},filtering={}", nat.mapping, nat.filtering)?;
                Nat::new(nat.mapping, nat.filtering)
            }
            _ => {
                f.write_str(self.access.name())?;
                if nat.mapping != default.mapping {
                    write!(f, ",mapping={}", nat.mapping)?;
                }
                if nat.filtering != default.filtering {
                    write!(f, ",filtering={}", nat.filtering)?;
                }
                default
            }
        };
        if nat.ports != usual.ports {
            write!(f, ",ports={}", nat.ports)?;
        }
        if nat.hairpin {
            f.write_str(",hairpin")?;
        }
        if nat.timeout != usual.timeout {
            write!(f, ",timeout={}", humantime::format_duration(nat.timeout))?;
        }
        Ok(())
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.to_string()
    }
}
