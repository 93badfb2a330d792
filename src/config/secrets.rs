//! From options to secrets and keys: reads their files, generates them for `--dev`.

use std::{fs, path::Path};

use super::{ApiOptions, ConfigError, CredentialOptions, TokenOptions, TurnUserOptions};
use crate::{
    auth::{
        AccessTokenKey, AccessTokenKeyError, PublishedKeys, Secret, TokenKeys, TokenMinter,
        TokenVerifier,
    },
    http::KeySource,
    https::Client,
    text,
};

impl CredentialOptions {
    /// The secrets of TURN credentials, the one that mints first.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read or, without `dev`, there is none.
    pub fn secrets(&self, dev: bool) -> Result<Vec<Secret>, ConfigError> {
        let mut secrets = self.auth_secret.clone();
        for path in &self.auth_secret_file {
            secrets.push(first_line("auth-secret-file", path)?);
        }
        match (secrets.is_empty(), dev) {
            (true, true) => Ok(vec![Secret::generate()]),
            (true, false) => Err(ConfigError::NoAuthSecret),
            (false, _) => Ok(secrets),
        }
    }
}

impl TurnUserOptions {
    /// The static TURN users: names and passwords.
    ///
    /// # Errors
    /// [`ConfigError::Option`] if one has no colon or two have one name.
    pub fn users(&self) -> Result<Vec<(String, Secret)>, ConfigError> {
        let error = |reason| ConfigError::Option { option: "user", reason };
        let mut users: Vec<(String, Secret)> = Vec::new();
        for (number, user) in self.user.iter().enumerate() {
            // The text is not shown: it may well be a password alone.
            let user = user.split().ok_or_else(|| {
                error(format!("user number {} is not written as NAME:PASSWORD", number + 1))
            })?;
            if users.iter().any(|(name, _)| *name == user.0) {
                return Err(error(format!("{:?} is there twice", user.0)));
            }
            users.push(user);
        }
        Ok(users)
    }

    /// The keys of access tokens.
    ///
    /// # Errors
    /// [`ConfigError::Option`] if one is not written as it should be. It is not shown, as clap would.
    pub fn access_token_keys(&self) -> Result<Vec<AccessTokenKey>, ConfigError> {
        let read = |(number, key): (usize, &Secret)| {
            key.expose_text().unwrap_or_default().parse().map_err(|error: AccessTokenKeyError| {
                let reason = format!("key number {}: {error}", number + 1);
                ConfigError::Option { option: "oauth-key", reason }
            })
        };
        self.oauth_key.iter().enumerate().map(read).collect()
    }
}

impl TokenOptions {
    /// The shared secrets of tokens, the one that signs first.
    pub fn secrets(&self, dev: bool) -> Vec<Secret> {
        match self.jwt_secret.is_empty() && dev {
            true => vec![Secret::generate()],
            false => self.jwt_secret.clone(),
        }
    }

    /// Where published keys come from, if they are to be used, and who fetches them.
    pub(super) fn key_source(&self, client: &Client) -> Option<KeySource> {
        let url = self.jwt_jwks_url.clone()?;
        Some(KeySource { url, keys: PublishedKeys::default(), client: client.clone() })
    }

    /// What checks tokens, with these shared secrets, the configured public keys and those that are
    /// published.
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

    /// What signs tokens that this server accepts.
    ///
    /// # Errors
    /// [`ConfigError::NoSigningSecret`] if there is no shared secret.
    pub fn minter(&self) -> Result<TokenMinter, ConfigError> {
        let secret = self.jwt_secret.first().ok_or(ConfigError::NoSigningSecret)?;
        Ok(self.minter_with(secret))
    }

    pub(super) fn minter_with(&self, secret: &Secret) -> TokenMinter {
        TokenMinter::new(secret, self.jwt_issuer.as_deref(), self.jwt_audience.as_deref())
    }
}

impl ApiOptions {
    /// The keys of the REST API; none closes it.
    pub fn keys(&self, dev: bool) -> Vec<Secret> {
        match self.api_key.is_empty() && dev {
            true => vec![Secret::generate()],
            false => self.api_key.clone(),
        }
    }
}

/// A secret from a file, without what an editor puts around it.
pub(super) fn first_line(option: &'static str, path: &Path) -> Result<Secret, ConfigError> {
    let text =
        text::read(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
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
