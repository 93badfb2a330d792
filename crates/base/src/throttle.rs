//! Limits for the log lines that one address may cause, and for those that all addresses together
//! may cause.
//!
//! A line for each wrong credential helps an operator who looks for a fault or feeds fail2ban; a
//! line for each of a million would fill the disk.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// The period in which lines are counted.
const PERIOD: Duration = Duration::from_secs(60);

/// The number of lines that one address may cause in a period: more than fail2ban waits for.
const PER_ADDRESS: u32 = 10;

/// The number of lines that all addresses may cause in a period. It also bounds the number of
/// addresses that are remembered.
const IN_ALL: u32 = 120;

/// Counts lines by the addresses that cause them.
#[derive(Debug, Default)]
pub struct Throttle {
    began: Option<Instant>,
    lines: u32,
    by_address: HashMap<IpAddr, u32>,
    suppressed: u64,
}

impl Throttle {
    /// Returns `Some` if a line about `address` is due, with the number suppressed since the last
    /// line.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= PERIOD) {
            self.began = Some(now);
            self.lines = 0;
            self.by_address = HashMap::new();
        }
        let is_due = self.lines < IN_ALL && {
            let own = self.by_address.entry(network(address)).or_default();
            *own += 1;
            *own <= PER_ADDRESS
        };
        if !is_due {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Returns the address under which lines are counted: for IPv6 the /64 network, since one customer
/// has all addresses in it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_causes_few_lines_and_hides_no_other() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let flood = |throttle: &mut Throttle, texts: &[&str], now| {
            let lines = (0..1000).filter_map(|n| throttle.admit(ip(texts[n % texts.len()]), now));
            lines.count()
        };
        let mapped = ["192.0.2.1", "::ffff:192.0.2.1"];
        assert_eq!(flood(&mut throttle, &mapped, start), PER_ADDRESS as usize);
        assert_eq!(throttle.admit(ip("192.0.2.2"), start), Some(990));
        assert_eq!(throttle.admit(ip("192.0.2.2"), start), Some(0));
        let neighbours = ["2001:db8::1", "2001:db8::2:0:0:1"];
        assert_eq!(flood(&mut throttle, &neighbours, start), PER_ADDRESS as usize);
        assert_eq!(throttle.admit(ip("2001:db8:0:1::1"), start), Some(990));
        assert_eq!(throttle.admit(ip("192.0.2.1"), start), None);
        assert_eq!(throttle.admit(ip("192.0.2.1"), start + PERIOD), Some(1));
    }

    #[test]
    fn many_addresses_together_cause_few_lines_and_little_memory() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let flood = |throttle: &mut Throttle, now| {
            let all = (0..100_000u32).filter_map(|n| throttle.admit(IpAddr::V4(n.into()), now));
            all.count()
        };
        assert_eq!(flood(&mut throttle, start), IN_ALL as usize);
        assert_eq!(throttle.by_address.len(), IN_ALL as usize);
        assert_eq!(flood(&mut throttle, start + PERIOD), IN_ALL as usize);
    }
}
