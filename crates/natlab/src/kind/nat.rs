//! The behavior of a NAT as a whole.

use std::time::Duration;

use super::{Behavior, Ports};

/// The lifetime of a mapping unless a kind says otherwise: the recommended one of RFC 4787 §4.3.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// The behavior of a NAT towards UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nat {
    pub(super) mapping: Behavior,
    pub(super) filtering: Behavior,
    pub(super) ports: Ports,
    pub(super) hairpin: bool,
    pub(super) timeout: Duration,
}

impl Nat {
    /// Creates a NAT without hairpinning, with mappings that last five minutes, and with the ports
    /// that its mapping allows: preserved where one mapping is for all endpoints, else random.
    pub fn new(mapping: Behavior, filtering: Behavior) -> Self {
        let ports = match mapping {
            Behavior::EndpointIndependent => Ports::Preserved,
            _ => Ports::Random,
        };
        Self { mapping, filtering, ports, hairpin: false, timeout: DEFAULT_TIMEOUT }
    }

    /// Returns the same NAT with random ports.
    pub(crate) fn with_random_ports(self) -> Self {
        Self { ports: Ports::Random, ..self }
    }

    /// Returns the part of the remote endpoint on which a mapping depends.
    pub fn mapping(&self) -> Behavior {
        self.mapping
    }

    /// Returns the part of the remote endpoint on which the filter depends.
    pub fn filtering(&self) -> Behavior {
        self.filtering
    }

    /// Returns the choice of external ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Returns true if packets from inside to an external address of a mapping are delivered
    /// (RFC 4787 §6).
    pub fn hairpin(&self) -> bool {
        self.hairpin
    }

    /// Returns the time after its last outgoing packet at which a mapping is lost.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the old names of RFC 3489 for the four NATs that have one.
    pub(super) fn alias(&self) -> Option<&'static str> {
        use Behavior::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        match (self.mapping, self.filtering) {
            (EndpointIndependent, EndpointIndependent) => Some("full-cone"),
            (EndpointIndependent, AddressDependent) => Some("address-restricted"),
            (EndpointIndependent, AddressAndPortDependent) => Some("port-restricted"),
            (AddressAndPortDependent, AddressAndPortDependent) => Some("symmetric"),
            _ => None,
        }
    }
}
