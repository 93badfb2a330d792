//! Compares what was measured with what a kind promises.

use serde::Serialize;

use super::measured::{Measured, Udp};
use crate::kind::{Access, Kind, Nat};

/// A property of a network: what its kind promises, and what was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) property: &'static str,
    pub(crate) expected: String,
    pub(crate) measured: String,
}

impl Check {
    fn new(property: &'static str, expected: impl ToString, measured: impl ToString) -> Self {
        Self { property, expected: expected.to_string(), measured: measured.to_string() }
    }

    /// Returns true if it is as promised.
    pub(crate) fn holds(&self) -> bool {
        self.expected == self.measured
    }
}

/// Returns the properties of a kind that can be seen from inside.
pub(crate) fn checks(kind: &Kind, measured: &Measured) -> Vec<Check> {
    let open = |is_open: bool| if is_open { "open" } else { "blocked" };
    let mut checks = vec![Check::new("UDP", open(kind.allows_udp()), open(measured.udp.is_some()))];
    if let (Some(udp), true) = (&measured.udp, kind.allows_udp()) {
        add_udp(&mut checks, kind, udp);
    }
    let (tcp, tls) = match kind.access() {
        Access::Tcp443Only => (false, true),
        Access::HttpProxy => (false, false),
        _ => (true, true),
    };
    checks.push(Check::new("TCP 3478", open(tcp), open(measured.tcp)));
    checks.push(Check::new("TCP 443", open(tls), open(measured.tls)));
    let has_proxy = kind.access() == Access::HttpProxy;
    if has_proxy || measured.proxy.is_some() {
        let reached = measured.proxy == Some(true);
        checks.push(Check::new("TCP 443 by proxy", open(has_proxy), open(reached)));
    }
    checks
}

/// Adds the properties of UDP.
fn add_udp(checks: &mut Vec<Check>, kind: &Kind, udp: &Udp) {
    let address = |is_translated: bool| if is_translated { "translated" } else { "its own" };
    let name = |behavior: Option<_>| behavior.map_or(String::new(), |it| format!("{it}"));
    checks.push(Check::new("address", address(kind.nat().is_some()), address(udp.is_translated)));
    // Without a NAT every endpoint sees the host's own address.
    let mapping = kind.mapping().unwrap_or(crate::kind::Behavior::EndpointIndependent);
    checks.push(Check::new("mapping", mapping, udp.mapping));
    checks.push(Check::new("filtering", name(kind.filtering()), udp.filtering));
    if let Some(routers) = udp.routers {
        let expected = if kind.access() == Access::CarrierGrade { 2 } else { 1 };
        checks.push(Check::new("routers", expected, routers));
    }
    if let Some(nat) = kind.nat() {
        add_nat(checks, nat, udp);
    }
}

/// Adds the properties that only NATs have.
fn add_nat(checks: &mut Vec<Check>, nat: &Nat, udp: &Udp) {
    let on = |is_on: bool| if is_on { "on" } else { "off" };
    checks.push(Check::new("ports", nat.ports(), udp.choice_of_ports()));
    checks.push(Check::new("hairpin", on(nat.hairpin()), on(udp.hairpin)));
    if let Some((early, is_there, late, is_still_there)) = udp.lifetime {
        let text = humantime::format_duration;
        let measured = match (is_there, is_still_there) {
            (true, false) => text(nat.timeout()).to_string(),
            (false, _) => format!("less than {}", text(early)),
            (true, true) => format!("more than {}", text(late)),
        };
        checks.push(Check::new("timeout", text(nat.timeout()), measured));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kind::Behavior;

    #[test]
    fn a_nat_that_is_another_one_fails() {
        let kind: Kind = "symmetric,timeout=2s".parse().unwrap();
        let udp = Udp {
            mapped: "198.51.100.6:40000".parse().unwrap(),
            is_translated: true,
            mapping: Behavior::EndpointIndependent,
            filtering: Behavior::AddressDependent,
            ports: vec![(4, 4), (6, 6)],
            hairpin: true,
            lifetime: Some((Duration::from_secs(1), true, Duration::from_secs(3), true)),
            routers: Some(2),
        };
        let measured = Measured { udp: Some(udp), tcp: true, tls: false, proxy: None };
        let checks = checks(&kind, &measured);
        let wrong: Vec<_> =
            checks.iter().filter(|check| !check.holds()).map(|check| check.property).collect();
        let all = ["mapping", "filtering", "routers", "ports", "hairpin", "timeout", "TCP 443"];
        assert_eq!(wrong, all);
        assert_eq!(checks[7].measured, "more than 3s");
    }
}
