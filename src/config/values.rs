//! The kinds of values that options take, and the parsing of each.

use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use axum::http::Uri;
use callbox_base::{
    addresses::{canonical, canonical_network},
    text::trimmed,
};
use callbox_cli::Period;
use ipnet::IpNet;
use rustls::pki_types::ServerName;

use crate::acceptor::acme;

/// A number of bytes: `65536`, `64KiB`, `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

const UNITS: [(&str, usize); 2] = [("MiB", 1024 * 1024), ("KiB", 1024)];

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end(), *unit)))
            .unwrap_or((text, 1));
        number
            .parse()
            .ok()
            .and_then(|number: usize| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| "expected a number of bytes such as 65536, 64KiB or 1MiB".into())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, unit) in UNITS {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        self.0.fmt(f)
    }
}

/// UDP ports, both ends included: `49152-65535`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(pub RangeInclusive<u16>);

impl FromStr for PortRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('-')
            .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)))
            .filter(|(low, high)| *low > 0u16 && low <= high)
            .map(|(low, high)| Self(low..=high))
            .ok_or_else(|| "expected LOW-HIGH with 1 <= LOW <= HIGH <= 65535".into())
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

/// The directory of a CA: Let's Encrypt by a word, another by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaDirectory {
    /// `production`
    Production,
    /// `staging`
    Staging,
    /// An address that begins with `https://`.
    Other(String),
}

impl CaDirectory {
    /// Returns its URL.
    pub fn url(&self) -> &str {
        match self {
            Self::Production => acme::PRODUCTION,
            Self::Staging => acme::STAGING,
            Self::Other(url) => url,
        }
    }
}

impl FromStr for CaDirectory {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let uri = || Uri::from_str(text).ok();
        match text {
            "production" => Ok(Self::Production),
            "staging" => Ok(Self::Staging),
            _ if uri().is_some_and(|uri| uri.scheme_str() == Some("https")) => {
                Ok(Self::Other(text.to_owned()))
            }
            _ => Err("expected production, staging or the https:// address of a directory".into()),
        }
    }
}

impl fmt::Display for CaDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Other(url) => url,
        })
    }
}

/// Parses a host name for a certificate: no address, and no wildcard, which the supported challenge
/// does not cover.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let text = trimmed(text);
    let is_name = matches!(ServerName::try_from(text), Ok(ServerName::DnsName(_)));
    match is_name && !text.ends_with('.') {
        true => Ok(text.to_ascii_lowercase()),
        false => {
            Err("expected a host name such as turn.example.com, without wildcards; names with \
                      other letters in their xn-- form"
                .into())
        }
    }
}

/// Parses one e-mail address, which becomes a `mailto:` URL without parameters (RFC 8555 §7.3).
pub(super) fn email(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | '?' | ':');
    match text.split_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() && !text.contains(bad) => {
            Ok(text.to_owned())
        }
        _ => Err("expected one e-mail address such as admin@example.com".into()),
    }
}

/// Reads a realm: "a UTF-8-encoded sequence of fewer than 128 characters" (RFC 8489 §14.9).
pub(super) fn realm(text: &str) -> Result<String, String> {
    match text.chars().count() {
        0..128 => Ok(text.into()),
        _ => Err("expected a name of fewer than 128 characters".into()),
    }
}

/// Parses a network; a lone address is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let text = trimmed(text);
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(canonical_network)
        .map_err(|_| "expected a network such as 10.0.0.0/8 or fd00::/8, or one address".into())
}

/// Parses an address without a port.
pub(super) fn ip_address(text: &str) -> Result<IpAddr, String> {
    let ip = trimmed(text).parse::<IpAddr>();
    ip.map(|ip| ip.to_canonical())
        .map_err(|_| "expected an address such as 192.0.2.7 or 2001:db8::7".into())
}

/// Parses `IP:PORT`.
pub(super) fn socket_address(text: &str) -> Result<std::net::SocketAddr, String> {
    trimmed(text).parse().map(canonical).map_err(|_| {
        "expected IP:PORT such as 0.0.0.0:3478 or [::]:3478; port 0 takes any free one".into()
    })
}

/// Parses a number of at least one.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number of at least 1".into()),
    }
}

/// Parses a length of time of at least a second.
pub(super) fn at_least_a_second(text: &str) -> Result<Period, String> {
    let period: Period = text.parse()?;
    match period.0 >= Duration::from_secs(1) {
        true => Ok(period),
        false => Err("expected at least 1s".into()),
    }
}

/// Parses a size of at least a mebibyte.
pub(super) fn at_least_a_mebibyte(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    match size.0 >= 1024 * 1024 {
        true => Ok(size),
        false => Err("expected at least 1MiB".into()),
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Parses the filter of log lines. A single word is a level here; the filter itself takes any other
/// word for the name of a module, and then logs nothing else.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let is_level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let is_module = |word: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
        !word.is_empty() && word.chars().all(fits)
    };
    let fits = |part: &str| match part.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(part),
    };
    let readable = tracing_subscriber::EnvFilter::try_new(text).is_ok();
    match text.split(',').find(|part| !fits(part)) {
        None if readable => Ok(text.to_owned()),
        part => Err(format!(
            "{:?} is no level; expected off, error, warn, info, debug or trace, and MODULE=LEVEL \
             for single modules",
            part.unwrap_or(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_shown_alike() {
        assert_eq!("64KiB".parse(), Ok(Size(65536)));
        assert_eq!(Size(65536).to_string(), "64KiB");
        assert_eq!(Size(65537).to_string(), "65537");
        assert!("64k".parse::<Size>().is_err());
        assert_eq!("1-65535".parse(), Ok(PortRange(1..=65535)));
        for bad in ["0-9", "9-1", "1-65536", "5", "-", "a-b"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_not_taken_for_a_module() {
        for good in ["off", "info", "DEBUG", "info,callbox::http=debug", "callbox=trace"] {
            assert_eq!(log_filter(good).as_deref(), Ok(good));
        }
        for (bad, part) in [
            ("banana", "banana"),
            ("info,callbox::http", "callbox::http"),
            ("info,callbox=loud", "callbox=loud"),
            ("info,", ""),
            ("", ""),
            ("=info", "=info"),
            ("[span]=info", "[span]=info"),
            ("a=b=info", "a=b=info"),
        ] {
            let error = log_filter(bad).unwrap_err();
            assert!(error.starts_with(&format!("{part:?} is no level; expected off")), "{error}");
        }
    }

    #[test]
    fn at_least_a_second_is_required() {
        assert_eq!(at_least_a_second("1s"), Ok(Period(Duration::from_secs(1))));
        for bad in ["0s", "999ms"] {
            assert_eq!(at_least_a_second(bad), Err("expected at least 1s".into()));
        }
    }

    #[test]
    fn at_least_a_mebibyte_is_required() {
        assert_eq!(at_least_a_mebibyte("1MiB").map(|size| size.0), Ok(1 << 20));
        // 0 does not lift this limit, which protects the server.
        for bad in ["0", "1023KiB"] {
            assert_eq!(at_least_a_mebibyte(bad).err().as_deref(), Some("expected at least 1MiB"));
        }
    }

    #[test]
    fn names_and_directories_of_cas() {
        assert_eq!(domain("Turn.Example.com").as_deref(), Ok("turn.example.com"));
        for bad in
            ["", "*.example.com", "192.0.2.1", "::1", "a b", "a.example.", "t\u{fc}rn.example"]
        {
            assert!(domain(bad).is_err(), "{bad}");
        }
        let url =
            |text: &str| text.parse().map(|directory: CaDirectory| directory.url().to_owned());
        assert!(url("production").unwrap().starts_with("https://acme-v02.api.letsencrypt.org/"));
        assert!(url("staging").unwrap().starts_with("https://acme-staging-v02."));
        let other = "https://[::1]:14000/directory";
        assert_eq!(url(other).as_deref(), Ok(other));
        for bad in ["", "test", "http://ca.example/directory", "https://", "ca.example"] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert!(email("admin@example.com").is_ok());
        for bad in ["admin", "@b", "a@", "mailto:a@b", "a@b,c@d", "a@b?subject=x", "a@b c"] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_and_addresses() {
        assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert_eq!(network("::ffff:10.0.0.0/104").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::ffff:10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert!(network("10.0.0.0/33").is_err());
        assert_eq!(ip_address("::ffff:10.1.2.3").unwrap().to_string(), "10.1.2.3");
        let socket = socket_address("[::ffff:10.1.2.3]:80").unwrap();
        assert_eq!(socket.to_string(), "10.1.2.3:80");
    }
}
