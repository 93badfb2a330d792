//! The kinds of values that options of several commands take.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use callbox_base::{auth::Secret, text::trimmed};
use http::Uri;

/// A length of time, written as people write it: `45s`, `10m`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| "expected a length of time such as 300ms, 45s, 10m or 1h30m".into())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A static TURN user: `name:password`. Any text is taken here, since an error would be shown with
/// the text; the split is checked later, without it.
#[derive(Debug, Clone)]
pub struct StaticUser(pub Secret);

impl FromStr for StaticUser {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        secret(text).map(Self)
    }
}

impl StaticUser {
    /// Returns the name and the password, if there is a colon between them and neither is empty.
    pub fn split(&self) -> Option<(String, Secret)> {
        let (name, password) = self.0.expose_text()?.split_once(':')?;
        let is_whole = !name.is_empty() && !password.is_empty();
        is_whole.then(|| (name.to_owned(), Secret::new(password)))
    }
}

/// Reads a secret.
///
/// # Errors
/// A secret cannot be empty. The error does not show the text.
pub fn secret(text: &str) -> Result<Secret, String> {
    match trimmed(text) {
        "" => Err("a secret cannot be empty".into()),
        text => Ok(Secret::new(text)),
    }
}

/// Reads an address to which the server sends requests of its own. They are about users, so they go
/// over TLS or stay on this machine.
///
/// # Errors
/// It is no such address, or has a user in it.
pub fn https_url(text: &str) -> Result<Uri, String> {
    let is_loopback = |uri: &Uri| {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    };
    let fits = |uri: &Uri| {
        let is_safe = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(uri),
            _ => false,
        };
        is_safe && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    text.parse().ok().filter(fits).ok_or_else(|| {
        "expected an address such as https://app.example.com/path, without a user in it; http:// is \
         for loopback addresses only"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_read_and_shown_alike() {
        for text in ["45s", "300ms", "1h 30m"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        assert_eq!("0".parse(), Ok(Period(Duration::ZERO)));
        assert!("45".parse::<Period>().is_err());
    }

    #[test]
    fn a_password_may_hold_a_colon() {
        let user: StaticUser = "alice:pass:word".parse().unwrap();
        let (name, password) = user.split().unwrap();
        assert_eq!((name.as_str(), password.expose_text()), ("alice", Some("pass:word")));
        for bad in ["alice", ":x", "alice:"] {
            assert!(bad.parse::<StaticUser>().unwrap().split().is_none());
        }
    }

    #[test]
    fn urls_use_tls_or_loopback() {
        for good in [
            "https://app.example.com/callbox?from=a",
            "https://[2001:db8::1]:8443",
            "http://127.0.0.1:9000/hook",
            "http://[::1]:9000/",
            "http://localhost/hook",
        ] {
            assert!(https_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "app.example.com",
            "/callbox",
            "http://app.example.com/callbox",
            "http://192.0.2.1/",
            "http://127.0.0.1.example.com/",
            "http://localhost@example.com/",
            "https://user:word@app.example.com/",
            "ftp://127.0.0.1/",
        ] {
            assert!(https_url(bad).is_err(), "{bad}");
        }
    }
}
