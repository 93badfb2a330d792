//! What a certificate that is shown to clients is for.

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::pair::Pair;

/// A certificate, as those see it who come to the server.
#[derive(Debug, Clone)]
pub struct Shown {
    pair: Arc<Pair>,
    is_trusted: bool,
}

impl Shown {
    pub(super) fn new(pair: Arc<Pair>) -> Self {
        // None of our own making has a validity.
        let is_trusted = pair.validity.is_some();
        Self { pair, is_trusted }
    }

    /// One that somebody will make for the names of this one.
    pub(super) fn to_come(pair: Pair) -> Self {
        Self { pair: Arc::new(pair), is_trusted: true }
    }

    /// One that somebody has made for these names.
    #[cfg(test)]
    pub(crate) fn made(names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self::to_come(Pair::make(names).unwrap())
    }

    /// Whether somebody else has made it, so that clients may trust it.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Whether a client that came by this name or address takes it for the right one (RFC 9110 §4.3.4).
    pub fn covers(&self, host: &str) -> bool {
        ServerName::try_from(host).is_ok_and(|host| self.pair.covers(&host))
    }

    /// The first name that it is for and that clients elsewhere can be sent to.
    pub fn host(&self) -> Option<String> {
        let fits =
            |name: &String| !name.starts_with('*') && !name.eq_ignore_ascii_case("localhost");
        self.pair.names().into_iter().find(fits)
    }

    /// What it is for, in words.
    pub fn describe(&self) -> String {
        match &self.pair.names()[..] {
            [] => "no DNS name".to_owned(),
            names => names.join(", "),
        }
    }
}
