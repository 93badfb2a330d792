//! A CA and a server that orders from it.

use std::{io, process::Command, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    AcmeServer,
    tls::{self, Tls},
};
use crate::{common::Server, support};

/// The server's name.
pub(crate) const NAME: &str = "turn.example.com";

/// A CA and the state directory of a server.
pub(crate) struct World {
    pub ca: AcmeServer,
    pub state: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { ca: AcmeServer::start(), state: tempfile::tempdir().unwrap() }
    }

    /// Starts a server that orders from the CA.
    pub(crate) fn serve(&self, options: &[&str]) -> Server {
        let (directory, root) = (self.ca.directory(), self.ca.root());
        let acme = ["--acme-domain", NAME, "--acme-directory", &directory];
        let root = ["--trust-ca", root.to_str().unwrap()];
        let state = ["--state-dir", self.state.path().to_str().unwrap()];
        let mut rest = vec!["--tls-listen", "127.0.0.1:0"];
        if !options.contains(&"--acme-retry") {
            rest.extend(["--acme-retry", "1s"]);
        }
        Server::with(&[&acme[..], &root, &state, &rest, options].concat())
    }

    /// Connects as a browser does that trusts the CA.
    pub(crate) fn browse(&self, server: &Server) -> io::Result<Tls> {
        let root = CertificateDer::from_pem_file(self.ca.root()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls::handshake(tls_port(server), NAME, config)
    }

    /// Waits until a browser accepts the server's certificate.
    pub(crate) fn wait_for_certificate(&self, server: &Server) {
        support::wait_until("a certificate", || self.browse(server).is_ok());
    }

    /// Stops the server, checks that the CA has no complaints, and returns the log.
    pub(crate) fn end(&self, server: Server) -> String {
        server.terminate();
        let (status, log) = server.wait();
        assert!(status.success(), "{log}");
        assert_eq!(self.ca.complaints(), [""; 0], "{log}");
        assert!(!log.contains("PRIVATE KEY") && !log.contains("panicked"), "{log}");
        log
    }
}

/// Returns `host:port` of TLS.
pub(crate) fn tls_port(server: &Server) -> &str {
    server.text("/https").strip_prefix("https://").unwrap()
}

pub(crate) fn expiry(server: &Server) -> f64 {
    server.metric("callbox_certificate_expiry_seconds")
}

pub(crate) fn send_sighup(server: &Server) {
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}
