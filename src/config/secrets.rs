//! Secrets and keys from the options: read from files, or generated for `--dev`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use callbox_base::{auth::Secret, text};
use callbox_signaling::jwt::{PublishedKeys, TokenKeys, TokenMinter, TokenVerifier};
use callbox_turn::auth::{AccessTokenKey, AccessTokenKeyError};

use super::{
    ApiOptions, ConfigError, CredentialOptions, StaticUser, TokenOptions, TurnUserOptions,
};
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

impl TokenOptions {
    /// Returns true if there is a shared secret, or a file that should contain one.
    pub fn have_secret(&self) -> bool {
        !self.jwt_secret.is_empty() || !self.jwt_secret_file.is_empty()
    }

    /// Returns the shared secrets of tokens, the one that signs first.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read, or contains no secret.
    pub fn secrets(&self, dev: bool) -> Result<Vec<Secret>, ConfigError> {
        match !self.have_secret() && dev {
            true => Ok(vec![Secret::generate()]),
            false => with_files(&self.jwt_secret, "jwt-secret-file", &self.jwt_secret_file),
        }
    }

    /// Returns the source of published keys with its client, if they are used.
    pub(super) fn key_source(&self, client: &Client) -> Option<KeySource> {
        let url = self.jwt_jwks_url.clone()?;
        Some(KeySource { url, keys: PublishedKeys::default(), client: client.clone() })
    }

    /// Returns the verifier of tokens, with these shared secrets, the configured public keys and
    /// the published ones.
    ///
    /// # Errors
    /// [`ConfigError`] if a key's file cannot be read or used, or there is no key at all.
    pub fn verifier(
        &self,
        secrets: &[Secret],
        published: Option<&KeySource>,
    ) -> Result<TokenVerifier, ConfigError> {
        let mut keys = TokenKeys::default();
        for secret in secrets {
            keys.add_secret(secret);
        }
        for path in &self.jwt_public_key {
            let pem = fs::read(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
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
                self.jwt_issuer.as_deref(),
                self.jwt_audience.as_deref(),
            )),
        }
    }

    /// Returns the minter of tokens that this server accepts.
    ///
    /// # Errors
    /// [`ConfigError::NoSigningSecret`] if there is no shared secret, and others if it cannot be read.
    pub fn minter(&self) -> Result<TokenMinter, ConfigError> {
        let secrets = self.secrets(false)?;
        Ok(self.minter_with(secrets.first().ok_or(ConfigError::NoSigningSecret)?))
    }

    pub(super) fn minter_with(&self, secret: &Secret) -> TokenMinter {
        TokenMinter::new(secret, self.jwt_issuer.as_deref(), self.jwt_audience.as_deref())
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
            false => with_files(&self.api_key, "api-key-file", &self.api_key_file),
        }
    }
}

/// Returns the secrets in the options themselves, followed by those in files.
pub(super) fn with_files(
    given: &[Secret],
    option: &'static str,
    files: &[PathBuf],
) -> Result<Vec<Secret>, ConfigError> {
    let read = files.iter().map(|path| first_line(option, path));
    given.iter().cloned().map(Ok).chain(read).collect()
}

/// One of several secrets, with its origin for error messages.
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

/// Reads the file of an option.
fn read(option: &'static str, path: &Path) -> Result<String, ConfigError> {
    text::read(path).map_err(|source| {
        let reason = format!("{}: cannot be read: {source}", path.display());
        ConfigError::Option { option, reason }
    })
}

/// Returns the secrets of a file with one in each line.
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

/// Returns the secret in the first line of a file, without the characters that an editor adds.
fn first_line(option: &'static str, path: &Path) -> Result<Secret, ConfigError> {
    let text = read(option, path)?;
    match text.lines().next().map(text::trimmed) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => {
            let reason = format!(
                "{} has nothing in its first line; fill it with: openssl rand -base64 32",
                path.display()
            );
            Err(ConfigError::Option { option, reason })
        }
    }
}
