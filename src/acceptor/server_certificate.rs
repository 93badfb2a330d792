//! The certificate that is shown to clients, with its names.

use std::{net::IpAddr, sync::Arc};

use rustls::pki_types::ServerName;

use super::pair::Pair;

/// A certificate as the server's clients see it.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    pair: Arc<Pair>,
    is_trusted: bool,
}

impl ServerCertificate {
    pub(super) fn new(pair: Arc<Pair>) -> Self {
        // A self-signed certificate has no validity.
        let is_trusted = pair.validity.is_some();
        Self { pair, is_trusted }
    }

    /// Returns the certificate that a CA will issue for the names of this one.
    pub(super) fn to_come(pair: Pair) -> Self {
        Self { pair: Arc::new(pair), is_trusted: true }
    }

    /// Returns a certificate that a CA has issued for these names.
    #[cfg(test)]
    pub(crate) fn made(names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self::to_come(Pair::make(names).unwrap())
    }

    /// Returns true if a CA has issued the certificate, so that clients may trust it.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Returns true if a client that connected to this name or address accepts the certificate for
    /// it (RFC 9110 §4.3.4).
    pub fn covers(&self, host: &str) -> bool {
        ServerName::try_from(host).is_ok_and(|host| self.pair.covers(&host))
    }

    /// Returns true if the certificate contains this host or address literally. A wildcard does not
    /// count: the names that it covers may be of other servers.
    pub fn names(&self, host: &str) -> bool {
        match host.parse::<IpAddr>() {
            Ok(ip) => self.pair.covers(&ServerName::from(ip)),
            Err(_) => self.pair.names().iter().any(|name| name.eq_ignore_ascii_case(host)),
        }
    }

    /// Returns the certificate's first name to which clients on other machines can be sent.
    pub fn host(&self) -> Option<String> {
        let fits =
            |name: &String| !name.starts_with('*') && !name.eq_ignore_ascii_case("localhost");
        self.pair.names().into_iter().find(fits)
    }

    /// Returns the names that the certificate is for, as text.
    pub fn describe(&self) -> String {
        match &self.pair.names()[..] {
            [] => "no DNS name".to_owned(),
            names => names.join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_hosts_and_names_none() {
        let certificate =
            ServerCertificate::made(&["turn.example.com", "*.example.com", "192.0.2.7"]);
        assert!(certificate.names("turn.example.com") && certificate.names("TURN.example.com"));
        assert!(certificate.names("192.0.2.7") && !certificate.names("192.0.2.8"));
        assert!(certificate.covers("evil.example.com") && !certificate.names("evil.example.com"));
        assert!(!certificate.names("*.example.org") && !certificate.names(""));
    }
}
