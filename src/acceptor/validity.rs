//! The validity of a certificate: the one field that is read from certificates and that no crate in
//! the tree exposes.

use std::time::{Duration, SystemTime};

/// The tags of DER on the path to the validity (X.690 §8.1.2, RFC 5280 §4.1).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The time from which, and the time until which, a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub from: SystemTime,
    pub until: SystemTime,
}

impl Validity {
    /// Reads it from a certificate in DER; returns `None` if it is none.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(SEQUENCE, certificate)?;
        let (mut rest, _) = expect(SEQUENCE, certificate)?;
        // TBSCertificate (RFC 5280 §4.1): an optional version, then the serial number, the
        // algorithm and the issuer.
        if let Some((_, behind)) = expect(VERSION, rest) {
            rest = behind;
        }
        for _ in 0..3 {
            (_, _, rest) = element(rest)?;
        }
        let (validity, _) = expect(SEQUENCE, rest)?;
        let (tag, from, rest) = element(validity)?;
        let from = time(tag, from)?;
        let (tag, until, _) = element(rest)?;
        Some(Self { from, until: time(tag, until)? })
    }

    /// Returns true if it is valid at this time.
    pub fn holds(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns the time when a third of the lifetime is left, which is when CAs want it renewed.
    pub fn renewal(&self) -> SystemTime {
        let lifetime = self.until.duration_since(self.from).unwrap_or(Duration::ZERO);
        self.from + lifetime / 3 * 2
    }
}

/// Returns the first element: its tag, its contents, and the rest.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // This many bytes of length follow; four gigabytes are enough.
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((tag, contents, rest))
}

/// Returns the contents of the first element if it has this tag, and the rest.
fn expect(wanted: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, contents, rest) = element(bytes)?;
    (tag == wanted).then_some((contents, rest))
}

/// Parses `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5).
fn time(tag: u8, contents: &[u8]) -> Option<SystemTime> {
    let digits = std::str::from_utf8(contents).ok()?.strip_suffix('Z')?;
    let fits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = match (tag, digits.len()) {
        (UTC_TIME, 12) if fits => {
            let century = if digits < "50" { "20" } else { "19" };
            format!("{century}{digits}")
        }
        (GENERALIZED_TIME, 14) if fits => digits.to_owned(),
        _ => return None,
    };
    let part = |range| &digits[range];
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4),
        part(4..6),
        part(6..8),
        part(8..10),
        part(10..12),
        part(12..14)
    );
    humantime::parse_rfc3339(&text).ok()
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
    fn both_kinds_of_time_are_parsed() {
        let validity = Validity::of(&made(2026, 4096)).unwrap();
        let (from, until) = (at("2026-02-28T00:00:00Z"), at("4096-12-31T00:00:00Z"));
        assert_eq!(validity, Validity { from, until });
        let validity = Validity::of(&made(1975, 2049)).unwrap();
        assert_eq!(validity.from, at("1975-02-28T00:00:00Z"));
        assert_eq!(validity.until, at("2049-12-31T00:00:00Z"));
    }

    #[test]
    fn a_truncated_certificate_or_none_at_all_has_no_validity() {
        let certificate = made(2026, 2027);
        for len in 0..certificate.len() {
            // It ends after the validity at the earliest; a shorter one is refused in any case.
            let cut = Validity::of(&certificate[..len]);
            assert!(cut.is_none(), "{len}");
        }
        for bytes in [&b""[..], b"\x30", b"\x30\x80", b"\x30\xff\0\0\0\0", b"-----BEGIN"] {
            assert_eq!(Validity::of(bytes), None);
        }
        assert_eq!(time(UTC_TIME, b"261301000000Z"), None);
        assert_eq!(time(UTC_TIME, "26\u{b2}01000000Z".as_bytes()), None);
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
