//! Creation of the TLS settings from the options: the source of the certificate, and the proxies in
//! front of the server.

use super::{ConfigError, Options, TcpListener, TlsOptions, loopback::loopback_only};
use crate::{
    acceptor::{self, CertificateSource, HeaderSenders, Role, acme},
    https::Client,
};

/// The port that a CA connects to (RFC 8737 §3).
const HTTPS_PORT: u16 = 443;

pub(super) fn acceptor_config(
    options: &Options,
    https: &Client,
    warnings: &mut Vec<String>,
) -> Result<acceptor::Config, ConfigError> {
    let (tls, dev) = (&options.tls, options.source.dev);
    for address in &tls.tls_listen {
        loopback_only("tls-listen", *address, dev)?;
    }
    let from_files = from_files(options)?;
    let certificate = match (from_files, by_acme(options, https)?) {
        (Some(_), Some(_)) => {
            let reason = "there is --tls-cert already: a certificate is either from files or from \
                          a CA";
            return Err(ConfigError::Option { option: "acme-domain", reason: reason.to_owned() });
        }
        (None, None) if dev => Some(CertificateSource::SelfSigned),
        (files, acme) => files.or(acme),
    };
    if certificate.is_none() && !tls.tls_listen.is_empty() {
        let reason = "there is no certificate: give --tls-cert and --tls-key, or --acme-domain and \
                      --state-dir";
        return Err(ConfigError::Option { option: "tls-listen", reason: reason.to_owned() });
    }
    let is_acme = matches!(certificate, Some(CertificateSource::Acme(_)));
    if is_acme && !tls.tls_listen.iter().any(|address| address.port() == HTTPS_PORT) {
        warnings.push(format!(
            "--acme-domain: the CA comes to port {HTTPS_PORT}, and no --tls-listen has it: it must \
             be forwarded to one"
        ));
    }
    Ok(acceptor::Config {
        tls_listen: tls.tls_listen.clone(),
        certificate,
        proxies: header_senders(tls)?,
    })
}

fn header_senders(tls: &TlsOptions) -> Result<HeaderSenders, ConfigError> {
    if tls.proxy_protocol.is_empty() && !tls.proxy_protocol_on.is_empty() {
        let reason = "it needs --proxy-protocol, too: from no network a connection begins with a \
                      PROXY protocol header";
        let option = "proxy-protocol-on";
        return Err(ConfigError::Option { option, reason: reason.to_owned() });
    }
    let roles = tls.proxy_protocol_on.iter().map(|listener| match listener {
        TcpListener::Http => Role::Http,
        TcpListener::TlsListen => Role::Tls,
        TcpListener::Listen => Role::Turn,
    });
    Ok(HeaderSenders::new(tls.proxy_protocol.clone(), roles.collect()))
}

fn from_files(options: &Options) -> Result<Option<CertificateSource>, ConfigError> {
    let lone = |option, other: &str| {
        let reason = format!("it needs --{other}, too: a certificate and its key go together");
        Err(ConfigError::Option { option, reason })
    };
    match (&options.tls.tls_cert, &options.tls.tls_key) {
        (Some(certificate), Some(key)) => Ok(Some(CertificateSource::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        (Some(_), None) => lone("tls-cert", "tls-key"),
        (None, Some(_)) => lone("tls-key", "tls-cert"),
        (None, None) => Ok(None),
    }
}

fn by_acme(options: &Options, https: &Client) -> Result<Option<CertificateSource>, ConfigError> {
    let state_dir = &options.run.state_dir;
    let options = &options.acme;
    if options.acme_domain.is_empty() {
        if options.acme_email.is_none() {
            return Ok(None);
        }
        let reason = "it needs --acme-domain, too: without a name there is nothing to order";
        return Err(ConfigError::Option { option: "acme-email", reason: reason.to_owned() });
    }
    let Some(state_dir) = state_dir.clone() else {
        let reason = "it needs --state-dir, too: a certificate that is not kept would be ordered \
                      anew at each start, and CAs allow that a few times a week";
        return Err(ConfigError::Option { option: "acme-domain", reason: reason.to_owned() });
    };
    let mut domains = options.acme_domain.clone();
    let mut seen = std::collections::HashSet::new();
    domains.retain(|domain| seen.insert(domain.clone()));
    Ok(Some(CertificateSource::Acme(acme::Settings {
        domains,
        email: options.acme_email.clone(),
        directory: options.acme_directory.url().to_owned(),
        https: https.clone(),
        state_dir,
        retry: options.acme_retry.0,
    })))
}
