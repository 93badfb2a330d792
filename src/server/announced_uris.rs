//! The URIs that clients are told, which depend on the certificate.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::addresses::{Addresses, Uris};
use crate::{
    acceptor::{Certificates, ServerCertificate},
    http::IceUris,
};

/// The URIs that clients are told, with everything that they are derived from.
#[derive(Debug)]
pub(super) struct AnnouncedUris {
    addresses: Addresses,
    certificates: Option<Arc<Certificates>>,
    uris: Uris,
}

impl AnnouncedUris {
    /// Determines the URIs for the current certificate.
    pub(super) fn new(addresses: Addresses, certificates: Option<Arc<Certificates>>) -> Self {
        let mut announced = Self { addresses, certificates, uris: Uris::default() };
        announced.uris = announced.now();
        announced
    }

    pub(super) fn uris(&self) -> &Uris {
        &self.uris
    }

    fn warnings(&self) -> Vec<String> {
        self.addresses.warnings(&self.uris, self.certificate().as_ref())
    }

    fn certificate(&self) -> Option<ServerCertificate> {
        self.certificates.as_ref().map(|certificates| certificates.server_certificate())
    }

    /// Logs the warnings for the operator.
    pub(super) fn warn(&self) {
        self.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    }

    /// Tells the hub the new URIs whenever the certificate has changed them.
    pub(super) fn follow(mut self, hub: IceUris) -> Option<JoinHandle<()>> {
        let mut changes = self.certificates.as_ref()?.changes();
        // The first iteration handles a change that was made since the URIs were determined.
        changes.mark_changed();
        let mut turn = self.uris.advertised_turn();
        let mut warnings = self.warnings();
        Some(tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                self.uris = self.now();
                let now = self.uris.advertised_turn();
                if now != turn {
                    turn = now;
                    tracing::info!(turn = turn.join(" "), "clients are told other TURN addresses");
                    hub.set(self.uris.stun.clone(), turn.clone()).await;
                }
                let news = self.warnings();
                for warning in news.iter().filter(|warning| !warnings.contains(warning)) {
                    tracing::warn!("{warning}");
                }
                warnings = news;
            }
        }))
    }

    fn now(&self) -> Uris {
        self.addresses.uris(self.certificate().as_ref())
    }
}
