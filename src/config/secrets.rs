//! Secrets and keys from files, and the verifier of tokens.

use std::{fmt, fs, path::Path};

use callbox_base::{auth::Secret, text};
use callbox_cli::{TokenOptions, secrets::read};
use callbox_signaling::jwt::{PublishedKeys, TokenKeys, TokenVerifier};

use super::ConfigError;
use crate::{http::KeySource, https::Client};

/// Returns the source of published keys, if they are to be used, and the client that fetches them.
pub(super) fn key_source(options: &TokenOptions, client: &Client) -> Option<KeySource> {
    let url = options.jwt_jwks_url.clone()?;
    Some(KeySource { url, keys: PublishedKeys::default(), client: client.clone() })
}

/// Returns the verifier of tokens, with these shared secrets, the configured public keys and those
/// that are published.
///
/// # Errors
/// [`ConfigError`] if a key's file cannot be read or used, or there is no key at all.
pub(super) fn token_verifier(
    options: &TokenOptions,
    secrets: &[Secret],
    published: Option<&KeySource>,
) -> Result<TokenVerifier, ConfigError> {
    let mut keys = TokenKeys::default();
    for secret in secrets {
        keys.add_secret(secret);
    }
    for path in &options.jwt_public_key {
        let pem =
            fs::read(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        keys.add_public_key(&pem)
            .map_err(|source| ConfigError::PublicKey { path: path.clone(), source })?;
    }
    if let Some(source) = published {
        keys.add_published(&source.keys);
    }
    match keys.is_empty() {
        true => Err(ConfigError::NoTokenKey),
        false => Ok(TokenVerifier::new(
            keys,
            options.jwt_issuer.as_deref(),
            options.jwt_audience.as_deref(),
        )),
    }
}

/// A secret that is one of several, and its origin.
pub(super) struct Entry {
    secret: Secret,
    option: &'static str,
    /// The line of the file or the number of the flag, for errors.
    origin: String,
}

impl Entry {
    /// Returns the secret.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Returns an error that begins with the origin, and does not show the secret.
    pub(super) fn malformed(&self, problem: impl fmt::Display) -> ConfigError {
        self.refused(format!("{}{problem}", self.origin))
    }

    /// Returns an error of the option.
    pub(super) fn refused(&self, reason: String) -> ConfigError {
        ConfigError::Option { option: self.option, reason }
    }
}

/// Returns the secrets of a flag, with their numbers.
pub(super) fn numbered(
    option: &'static str,
    kind: &str,
    secrets: impl Iterator<Item = Secret>,
) -> Vec<Entry> {
    let entry = |(number, secret)| Entry {
        option,
        origin: format!("{kind} number {}", number + 1),
        secret,
    };
    secrets.enumerate().map(entry).collect()
}

/// Returns the secrets of a file with one in each line.
pub(super) fn lines(option: &'static str, path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let text = read(option, path)?;
    let lines = text.lines().map(text::trimmed).enumerate();
    let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let entries: Vec<_> = entries
        .map(|(number, line)| {
            let origin = format!("{}: line {}", path.display(), number + 1);
            Entry { option, origin, secret: Secret::new(line) }
        })
        .collect();
    match entries.is_empty() {
        true => {
            let reason = format!("{} has no entry in it", path.display());
            Err(ConfigError::Option { option, reason })
        }
        false => Ok(entries),
    }
}
