//! Creation of the HTTPS client from the options.

use callbox_tls::Roots;

use super::{ConfigError, Options};
use crate::https::Client;

/// Returns the client that all parts of the server share.
///
/// # Errors
/// [`ConfigError::Option`] if the file of trusted certificates cannot be read, or no request would
/// use it.
pub(super) fn client(options: &Options) -> Result<Client, ConfigError> {
    let error = |reason| Err(ConfigError::Option { option: "trust-ca", reason });
    let mut roots = Roots::public();
    if let Some(path) = &options.tls.trust_ca {
        if options.acme.acme_domain.is_empty()
            && options.tokens.jwt_jwks_url.is_none()
            && options.reports.webhook_url.is_none()
        {
            let reason = "it needs --acme-domain, --jwt-jwks-url or --webhook-url, too: without \
                          these nobody is asked over HTTPS";
            return error(reason.to_owned());
        }
        if let Err(source) = roots.add(path) {
            return error(format!("{}: {source}", path.display()));
        }
    }
    Ok(Client::new(roots))
}
