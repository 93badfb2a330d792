//! Remarks on the validity of a certificate: if clients accept it today, and for how long.

use std::time::SystemTime;

use callbox_tls::Validity;

/// A remark on a certificate, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// True if clients refuse the certificate.
    pub is_serious: bool,
    /// The problem and its remedy, as text.
    pub text: String,
}

/// Returns a remark if a certificate is not valid now, or will not be soon; `which` begins the
/// sentence.
pub(super) fn remark(subject: &str, validity: Validity, now: SystemTime) -> Option<Remark> {
    let date = |at| humantime::format_rfc3339_seconds(at);
    let (from, until) = (date(validity.from), date(validity.until));
    let serious = |text| Some(Remark { is_serious: true, text });
    if now >= validity.until {
        return serious(format!(
            "{subject} has expired at {until}: clients refuse it until it is renewed"
        ));
    }
    if now < validity.from {
        return serious(format!(
            "{subject} is valid from {from} only: clients refuse it until then; is the clock of \
             this machine right?"
        ));
    }
    let text = format!("{subject} expires soon, at {until}: renew it");
    validity.ends_soon(now).then_some(Remark { is_serious: false, text })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    #[test]
    fn a_certificate_causes_a_remark_before_and_after_its_validity() {
        let from = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let text = |days: u32, age: Duration| {
            let validity = Validity { from, until: from + days * DAY };
            remark("it", validity, from + age).map(|remark| (remark.is_serious, remark.text))
        };
        assert_eq!(text(90, 75 * DAY), None);
        let until = humantime::format_rfc3339_seconds(from + 90 * DAY);
        let soon = format!("it expires soon, at {until}: renew it");
        assert_eq!(text(90, 77 * DAY), Some((false, soon)));
        // One of six days is renewed when two are left.
        assert_eq!(text(6, 4 * DAY), None);
        assert!(text(6, 5 * DAY).is_some_and(|(is_serious, _)| !is_serious));
        assert!(
            text(90, 90 * DAY).is_some_and(
                |(is_serious, text)| is_serious && text.starts_with("it has expired at ")
            )
        );
        let early = Validity { from, until: from + DAY };
        let early = remark("it", early, from - DAY).unwrap();
        assert!(early.is_serious && early.text.starts_with("it is valid from "), "{early:?}");
    }
}
