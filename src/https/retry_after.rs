//! The time of the next request that a server asks for.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, header::RETRY_AFTER};

/// Returns the time in `Retry-After`, which is given in seconds or as a date (RFC 9110 §10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => now.checked_add(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_retry_time_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text| {
            let value = HeaderValue::from_static(text);
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]), now)
        };
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        assert_eq!(read("120"), after(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), after(60));
        for unreadable in ["soon", "-1", "1.5", "18446744073709551615"] {
            assert_eq!(read(unreadable), None, "{unreadable}");
        }
    }
}
