//! The certificate that is shown now.

use std::sync::{Arc, RwLock};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::watch;

use super::pair::Pair;

/// The certificate that is shown now: read for each handshake, written when it changes.
#[derive(Debug)]
pub(super) struct Current {
    pair: RwLock<Arc<Pair>>,
    changes: watch::Sender<()>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().key.clone())
    }
}

impl Current {
    /// Shows this certificate first.
    pub(super) fn new(pair: Pair) -> Self {
        Self { pair: RwLock::new(Arc::new(pair)), changes: watch::Sender::new(()) }
    }

    /// Returns the certificate.
    pub(super) fn get(&self) -> Arc<Pair> {
        self.pair.read().expect("replacing it does not panic").clone()
    }

    /// Replaces the certificate. Open connections keep theirs; new ones are shown the new one.
    pub(super) fn set(&self, pair: Pair) {
        *self.pair.write().expect("replacing it does not panic") = Arc::new(pair);
        self.changes.send_replace(());
    }

    /// Notifies when another certificate is shown.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}
