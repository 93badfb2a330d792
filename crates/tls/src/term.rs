//! The time for which a certificate is still valid, in words.

use std::{fmt, time::SystemTime};

use crate::Validity;

/// The time for which a certificate is still valid, in words.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    validity: Validity,
    now: SystemTime,
}

impl Term {
    /// Reads the time from a certificate in DER, as of now; `None` if it is no certificate.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        Some(Self { validity: Validity::of(certificate)?, now: SystemTime::now() })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = humantime::format_rfc3339_seconds(self.validity.until);
        match self.validity.ends_soon(self.now) {
            true => write!(f, "expires soon, at {until}: renew it"),
            false => write!(f, "valid until {until}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_end_is_shown_and_a_near_one_asks_for_a_renewal() {
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86400);
        let until = from + Duration::from_secs(90 * 86400);
        let validity = Validity { from, until };
        assert_eq!(Term { validity, now: from }.to_string(), "valid until 2025-01-02T00:00:00Z");
        let text = Term { validity, now: until }.to_string();
        assert_eq!(text, "expires soon, at 2025-01-02T00:00:00Z: renew it");
    }
}
