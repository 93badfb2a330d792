//! TLS towards a server: the name of its certificate, and the trusted roots.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use callbox_tls::Roots;
use rustls::{ClientConfig, pki_types::ServerName};

/// The settings of TLS sessions with one server.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    /// The trusted roots.
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must be for.
    pub name: ServerName<'static>,
}

impl Tls {
    /// Creates the settings for the host of `host:port`, with the certificates in this file or
    /// those that browsers trust.
    pub(crate) fn new(server: &str, ca_cert: Option<&Path>) -> anyhow::Result<Self> {
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
