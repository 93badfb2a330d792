//! Secrets and keys from the options: read from files, or generated for `--dev`.

use std::{fs, path::Path};

use callbox_base::{auth::Secret, text};
use callbox_cli::{
    StaticUser, TokenOptions,
    secrets::{read, with_files},
};
use callbox_signaling::jwt::{PublishedKeys, TokenKeys, TokenVerifier};
use callbox_turn::auth::{AccessTokenKey, AccessTokenKeyError};

use super::{ApiOptions, ConfigError, CredentialOptions, TurnUserOptions};
use crate::{http::KeySource, https::Client};

impl CredentialOptions {
    /// Returns true if there is a secret, or a file that should contain one.
    pub fn have_secret(&self) -> bool {
        !self.auth_secret.is_empty() || !self.auth_secret_file.is_empty()
    }

    /// Returns the secrets of TURN credentials, the one that mints first.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read or, without `dev`, there is none.
    pub fn secrets(&self, dev: bool) -> Result<Vec<Secret>, ConfigError> {
        let secrets = with_files(&self.auth_secret, "auth-secret-file", &self.auth_secret_file)?;
        match (secrets.is_empty(), dev) {
            (true, true) => Ok(vec![Secret::generate()]),
            (true, false) => Err(ConfigError::NoAuthSecret),
            (false, _) => Ok(secrets),
        }
    }
}

impl TurnUserOptions {
    /// Returns the static TURN users: names and passwords.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read, or a user has no colon, or two have one name.
    pub fn users(&self) -> Result<Vec<(String, Secret)>, ConfigError> {
        let mut entries = numbered("user", "user", self.user.iter().map(|user| user.0.clone()));
        for path in &self.user_file {
            entries.extend(lines("user-file", path)?);
        }
        let mut users: Vec<(String, Secret)> = Vec::new();
        for Entry { option, origin, secret } in entries {
            let error = |reason| ConfigError::Option { option, reason };
            // The text is not shown: it may be a password.
            let user = StaticUser(secret)
                .split()
                .ok_or_else(|| error(format!("{origin} is not written as NAME:PASSWORD")))?;
            if users.iter().any(|(name, _)| *name == user.0) {
                return Err(error(format!("{:?} is there twice", user.0)));
            }
            users.push(user);
        }
        Ok(users)
    }

    /// Returns the keys of access tokens.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read, or a key is malformed. The key is not shown, as
    /// clap would.
    pub fn access_token_keys(&self) -> Result<Vec<AccessTokenKey>, ConfigError> {
        let mut entries = numbered("oauth-key", "key", self.oauth_key.iter().cloned());
        for path in &self.oauth_key_file {
            entries.extend(lines("oauth-key-file", path)?);
        }
        let read = |Entry { option, origin, secret }: Entry| {
            let text = secret.expose_text().unwrap_or_default();
            text.parse().map_err(|error: AccessTokenKeyError| ConfigError::Option {
                option,
                reason: format!("{origin}: {error}"),
            })
        };
        entries.into_iter().map(read).collect()
    }
}

/// Where published keys come from, if they are to be used, and who fetches them.
pub(super) fn key_source(options: &TokenOptions, client: &Client) -> Option<KeySource> {
    let url = options.jwt_jwks_url.clone()?;
    Some(KeySource { url, keys: PublishedKeys::default(), client: client.clone() })
}

/// What checks tokens, with these shared secrets, the configured public keys and those that are
/// published.
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

impl ApiOptions {
    /// Returns the keys of the REST API; none closes it.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read, or contains no key.
    pub fn keys(&self, dev: bool) -> Result<Vec<Secret>, ConfigError> {
        match self.api_key.is_empty() && self.api_key_file.is_empty() && dev {
            true => Ok(vec![Secret::generate()]),
            false => Ok(with_files(&self.api_key, "api-key-file", &self.api_key_file)?),
        }
    }
}

/// A secret that is one of several, and the place where it stands, for errors.
struct Entry {
    option: &'static str,
    origin: String,
    secret: Secret,
}

/// Returns the secrets of a flag, with their numbers.
fn numbered(option: &'static str, kind: &str, secrets: impl Iterator<Item = Secret>) -> Vec<Entry> {
    let entry = |(number, secret)| Entry {
        option,
        origin: format!("{kind} number {}", number + 1),
        secret,
    };
    secrets.enumerate().map(entry).collect()
}

/// Those of a file with one in each line.
fn lines(option: &'static str, path: &Path) -> Result<Vec<Entry>, ConfigError> {
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
