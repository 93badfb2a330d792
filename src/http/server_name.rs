//! The names under which browsers reach the server, as far as it knows them: a page counts as the
//! server's own only under one of these.

use std::{fmt, net::IpAddr, str::FromStr};

use callbox_base::text::trimmed;
use url::{Host, Url};

/// Returns true if the certificate names a host.
pub type NamedByCertificate = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// A host name or an address, in the form that browsers use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(Host);

/// The reason why a text is no name of a server, and a hint what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerNameError {
    /// It contains more than a name.
    #[error("it is a name alone, without scheme, port and path: write {0}")]
    MoreThanName(ServerName),
    /// It has a wildcard.
    #[error("it has no wildcards: name each host, such as calls.example.com")]
    Wildcard,
    /// It is no name at all.
    #[error("expected a name such as calls.example.com, or an address")]
    Malformed,
}

impl ServerName {
    /// Returns the name in a header `Host`, or in the authority of a URL.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        Self::of(&Url::parse(&format!("http://{host}")).ok()?)
    }

    fn of(url: &Url) -> Option<Self> {
        Some(Self(match url.host()? {
            // The dot at the end of an absolute name does not change the host.
            Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_owned()),
            Host::Ipv4(ip) => Host::Ipv4(ip),
            Host::Ipv6(ip) => Host::Ipv6(ip),
        }))
    }

    /// Returns true if the name always leads a client to its own machine, without DNS (RFC 6761
    /// §6.3).
    fn is_loopback(&self) -> bool {
        match &self.0 {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.to_canonical().is_loopback(),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Host::Domain(name) => f.write_str(name),
            Host::Ipv4(ip) => ip.fmt(f),
            Host::Ipv6(ip) => ip.fmt(f),
        }
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let text = trimmed(text);
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(match ip.to_canonical() {
                IpAddr::V4(ip) => Host::Ipv4(ip),
                IpAddr::V6(ip) => Host::Ipv6(ip),
            }));
        }
        if text.contains('*') {
            return Err(ServerNameError::Wildcard);
        }
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let name = url.ok().as_ref().and_then(Self::of).ok_or(ServerNameError::Malformed)?;
        match Host::parse(text).is_ok() {
            true => Ok(name),
            false => Err(ServerNameError::MoreThanName(name)),
        }
    }
}

/// The server's own names.
#[derive(Default)]
pub(super) struct OwnNames {
    configured: Vec<ServerName>,
    certificate: Option<NamedByCertificate>,
}

impl OwnNames {
    /// Combines the configured names with those of the certificate, which may change.
    pub(super) fn new(
        configured: Vec<ServerName>,
        certificate: Option<NamedByCertificate>,
    ) -> Self {
        Self { configured, certificate }
    }

    /// Returns true if a name is the server's own for a client that is on this machine or not. A
    /// loopback name is this server only to the former: to others it is their own machine.
    pub(super) fn have(&self, name: &ServerName, is_local: bool) -> bool {
        let by_certificate =
            || self.certificate.as_ref().is_some_and(|names| names(&name.to_string()));
        match name.is_loopback() {
            true => is_local || self.configured.contains(name),
            false => self.configured.contains(name) || by_certificate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_compared_in_the_form_that_browsers_use() {
        for (text, expected) in [
            ("calls.example.com", "calls.example.com"),
            (" Calls.Example.COM. ", "calls.example.com"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:DB8::0:7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
        ] {
            assert_eq!(text.parse::<ServerName>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_name_is_refused_with_a_hint() {
        for (text, expected) in [
            ("https://calls.example.com", "write calls.example.com"),
            ("calls.example.com:8443", "write calls.example.com"),
            ("calls.example.com/app", "write calls.example.com"),
            ("*.example.com", "name each host"),
            ("", "expected a name"),
            ("a b", "expected a name"),
        ] {
            let error = text.parse::<ServerName>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn names_of_the_certificate_are_own_as_long_as_it_has_them() {
        let certificate = |name: &str| name == "turn.example.com" || name == "localhost";
        let own = OwnNames::new(Vec::new(), Some(Box::new(certificate)));
        let have = |host| own.have(&ServerName::of_host(host).unwrap(), false);
        assert!(have("turn.example.com:443") && !have("www.example.com"));
        assert!(!have("localhost"), "every machine is that to itself");
    }
}
