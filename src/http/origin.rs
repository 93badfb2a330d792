//! The origin of a web page, in the form in which browsers send it (RFC 6454 §6.2): scheme and host
//! in lower case, names with other letters in their `xn--` form, and the port if it is not the
//! default one.

use std::{fmt, str::FromStr};

use callbox_base::text::trimmed;
use url::{Position, Url};

/// The origin of a web page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// The reason why a text is no origin, and a hint what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It stands for every origin.
    #[error("an origin is one site; leave the option out to let pages of every origin connect")]
    Any,
    /// It has a wildcard in the host.
    #[error("an origin has no wildcards: name each host, such as https://app.example.com")]
    Wildcard,
    /// It is the value that pages without an origin send.
    #[error(
        "null is sent by pages of many sites, such as frames in a sandbox and files: serve the page \
         from a host, and name that"
    )]
    Null,
    /// It has no scheme.
    #[error("it has no scheme: write https://{0}")]
    NoScheme(String),
    /// It has a scheme that pages do not have.
    #[error("the origin of a page begins with https:// or http://")]
    Scheme,
    /// It contains more than an origin.
    #[error("an origin ends after its host or port: write {0}")]
    MoreThanOrigin(Origin),
    /// It is no address at all.
    #[error("expected an origin such as https://app.example.com or http://localhost:5173: {0}")]
    Malformed(url::ParseError),
}

impl Origin {
    /// Returns the origin of pages that a server serves with this scheme and this `Host`.
    pub(super) fn of_host(scheme: &str, host: &str) -> Option<Self> {
        let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
        let is_host_alone = url.path() == "/" && !host.contains(['/', '?', '#', '@', '\\']);
        is_host_alone.then(|| Self::of(&url))
    }

    /// Returns the form that a browser sends.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(url: &Url) -> Self {
        Self(url.origin().ascii_serialization())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let text = trimmed(text);
        if text == "*" {
            return Err(OriginError::Any);
        }
        if text.eq_ignore_ascii_case("null") {
            return Err(OriginError::Null);
        }
        if text.contains('*') {
            return Err(OriginError::Wildcard);
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(OriginError::NoScheme(text.to_owned()));
        };
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(OriginError::Scheme);
        }
        let url = Url::parse(text).map_err(OriginError::Malformed)?;
        let origin = Self::of(&url);
        // A single slash is added by a browser's address bar.
        let is_more = &url[Position::BeforePath..] != "/" || !url.username().is_empty();
        match is_more || url.password().is_some() {
            true => Err(OriginError::MoreThanOrigin(origin)),
            false => Ok(origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for (text, expected) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80/", "http://app.example.com"),
            ("https://app.example.com:8443", "https://app.example.com:8443"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("https://B\u{dc}CHER.example:443", "https://xn--bcher-kva.example"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("http://[2001:DB8::0:1]:8080", "http://[2001:db8::1]:8080"),
            (" https://app.example.com ", "https://app.example.com"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_origin_is_refused_with_a_hint() {
        for (text, expected) in [
            ("*", "leave the option out"),
            ("https://*.example.com", "name each host"),
            ("https://app.example.com:*", "name each host"),
            ("null", "serve the page from a host"),
            ("app.example.com", "write https://app.example.com"),
            ("localhost:5173", "write https://localhost:5173"),
            ("//app.example.com", "it has no scheme"),
            ("wss://app.example.com", "begins with https:// or http://"),
            ("file:///srv/app", "begins with https:// or http://"),
            ("https://App.example.com:443/app", "write https://app.example.com"),
            ("https://app.example.com?x", "write https://app.example.com"),
            ("https://app.example.com/#x", "write https://app.example.com"),
            ("https://alice@app.example.com", "write https://app.example.com"),
            ("https://", "empty host"),
            ("https://app.example.com:port", "invalid port"),
            ("https://a b", "invalid"),
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_host_has_an_origin_for_each_scheme() {
        let of = |scheme, host| Origin::of_host(scheme, host).map(|origin| origin.0);
        assert_eq!(of("https", "a.example:443").as_deref(), Some("https://a.example"));
        assert_eq!(of("http", "A.example:443").as_deref(), Some("http://a.example:443"));
        for host in ["", "a.example/b", "a@b.example", "a.example?b", "a b"] {
            assert_eq!(of("https", host), None, "{host}");
        }
    }
}
