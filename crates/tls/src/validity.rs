//! The time for which a certificate is valid.

use std::time::{Duration, SystemTime};

use x509_parser::prelude::{FromDer, X509Certificate};

/// The longest time before its end at which a certificate is said to end soon.
const SOON: Duration = Duration::from_secs(14 * 86400);

/// The time for which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment at which it is valid.
    pub from: SystemTime,
    /// The first moment at which it is no longer valid.
    pub until: SystemTime,
}

impl Validity {
    /// Reads the time from a certificate in DER; returns `None` if it is no certificate.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        let (from, until) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        Some(Self { from: from.into(), until: until.into() })
    }

    /// Returns true if it is valid at a moment.
    pub fn holds(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns the moment at which a third of the lifetime is left, when CAs want it renewed.
    pub fn renewal(&self) -> SystemTime {
        let lifetime = self.until.duration_since(self.from).unwrap_or(Duration::ZERO);
        self.from + lifetime / 3 * 2
    }

    /// Returns true if less than a quarter of the lifetime is left, and less than two weeks:
    /// programs that renew certificates do so when a third is left.
    pub fn ends_soon(&self, now: SystemTime) -> bool {
        let lifetime = self.until.duration_since(self.from).unwrap_or_default();
        let left = self.until.duration_since(now).unwrap_or_default();
        left < SOON.min(lifetime / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(from: i32, until: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 2, 28);
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn both_kinds_of_time_are_read() {
        let validity = Validity::of(&made(2026, 4096)).unwrap();
        let (from, until) = (at("2026-02-28T00:00:00Z"), at("4096-12-31T00:00:00Z"));
        assert_eq!(validity, Validity { from, until });
        let validity = Validity::of(&made(1975, 2049)).unwrap();
        assert_eq!(validity.from, at("1975-02-28T00:00:00Z"));
        assert_eq!(validity.until, at("2049-12-31T00:00:00Z"));
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_validity() {
        let certificate = made(2026, 2027);
        for len in 0..certificate.len() {
            let cut = Validity::of(&certificate[..len]);
            assert!(cut.is_none(), "{len}");
        }
        for bytes in [&b""[..], b"\x30", b"\x30\x80", b"\x30\xff\0\0\0\0", b"-----BEGIN"] {
            assert_eq!(Validity::of(bytes), None);
        }
        // The times are read, not only skipped (RFC 5280 §4.1.2.5.1).
        let offset = certificate.windows(13).position(|bytes| bytes == b"260228000000Z").unwrap();
        for time in [&b"261301000000Z"[..], "26\u{b2}01000000Z".as_bytes()] {
            let mut certificate = certificate.clone();
            certificate[offset..offset + 13].copy_from_slice(time);
            assert_eq!(Validity::of(&certificate), None);
        }
    }

    #[test]
    fn a_third_of_the_lifetime_is_left_to_renew() {
        let from = at("2026-01-01T00:00:00Z");
        let day = Duration::from_secs(86400);
        let validity = Validity { from, until: from + 90 * day };
        assert_eq!(validity.renewal(), from + 60 * day);
        assert!(validity.holds(from) && !validity.holds(from + 90 * day));
        assert!(!validity.holds(from - Duration::from_secs(1)));
    }
}
