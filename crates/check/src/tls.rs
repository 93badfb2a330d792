//! TLS towards a server: by which name it is known, and who may vouch for it.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use callbox_tls::Roots;
use rustls::{ClientConfig, pki_types::ServerName};

/// What a TLS session with one server begins with.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    /// Whose certificates are believed.
    pub config: Arc<ClientConfig>,
    /// What the server's must be for.
    pub name: ServerName<'static>,
}

impl Tls {
    /// For the host of `host:port`, by the certificates in this file or those that browsers believe.
    pub fn new(server: &str, ca_cert: Option<&Path>) -> anyhow::Result<Self> {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .with_context(|| format!("{server}: no certificate can be for such a name"))?;
        let roots = match ca_cert {
            Some(path) => {
                Roots::read(path).with_context(|| format!("--ca-cert {}", path.display()))?
            }
            None => Roots::public(),
        };
        Ok(Self { config: roots.into_config().into(), name })
    }
}
