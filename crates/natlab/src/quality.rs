//! The quality of a link.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A share of packets, written as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Share(f64);

impl Share {
    /// Returns the probability.
    pub(crate) fn probability(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Share {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let percent: f64 = text.strip_suffix('%').ok_or(())?.parse().map_err(drop)?;
        if (0.0..=100.0).contains(&percent) { Ok(Self(percent)) } else { Err(()) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A rate in bits a second, written as `2mbit` or `500kbit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate(u64);

impl Rate {
    /// Returns the time that a packet of this length takes.
    pub(crate) fn time_of(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.0 as f64)
    }
}

/// The units of a rate, the largest first.
const UNITS: [(&str, u64); 3] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000)];

impl FromStr for Rate {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let unit = UNITS.into_iter().find_map(|(unit, bits)| {
            Some((text.strip_suffix(unit)?.trim().parse::<u64>().ok()?, bits))
        });
        let (count, bits) = unit.ok_or(())?;
        let rate = count.checked_mul(bits).ok_or(())?;
        if rate > 0 { Ok(Self(rate)) } else { Err(()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, bits): &(&str, u64)| self.0.is_multiple_of(*bits);
        let (unit, bits) = UNITS.into_iter().find(fits).unwrap_or(("bit", 1));
        write!(f, "{}{unit}", self.0 / bits)
    }
}

/// The quality of a link, in each of its directions.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quality {
    pub(crate) loss: Share,
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) rate: Option<Rate>,
}

/// A change of one property of a link.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The share of packets that are lost.
    Loss(Share),
    /// The time that a packet is on its way.
    Delay(Duration),
    /// The most that is added to the delay, evenly distributed. Packets stay in order.
    Jitter(Duration),
    /// The rate.
    Rate(Rate),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss(share) => write!(f, "loss {share}"),
            Self::Delay(time) => write!(f, "delay {}", humantime::format_duration(*time)),
            Self::Jitter(time) => write!(f, "jitter {}", humantime::format_duration(*time)),
            Self::Rate(rate) => write!(f, "rate {rate}"),
        }
    }
}

impl Quality {
    /// Returns true if packets pass as they come.
    pub(crate) fn is_ideal(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Loss(share) => self.loss = share,
            Change::Delay(delay) => self.delay = delay,
            Change::Jitter(jitter) => self.jitter = jitter,
            Change::Rate(rate) => self.rate = Some(rate),
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.loss != Share::default() {
            parts.push(Change::Loss(self.loss).to_string());
        }
        if !self.delay.is_zero() {
            parts.push(Change::Delay(self.delay).to_string());
        }
        if !self.jitter.is_zero() {
            parts.push(Change::Jitter(self.jitter).to_string());
        }
        parts.extend(self.rate.map(|rate| Change::Rate(rate).to_string()));
        f.write_str(&parts.join(", "))
    }
}
