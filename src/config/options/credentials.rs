//! The options for TURN credentials, and for the users who have static ones.

use std::path::PathBuf;

use callbox_base::auth::Secret;
use callbox_cli::{Period, StaticUser, secrets::with_files, values::secret};
use callbox_signaling as signaling;
use callbox_turn::auth::{AccessTokenKey, AccessTokenKeyError};
use clap::Args;

use crate::config::{
    ConfigError,
    secrets::{Entry, lines, numbered},
    values::{at_least_a_second, realm},
};

/// The secrets behind TURN credentials.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TURN credentials")]
pub struct CredentialOptions {
    /// The secret that time-limited TURN credentials are made with; may be given more than once.
    ///
    /// The same as coturn's static-auth-secret: a back end that mints credentials shares it. The
    /// first one mints, all verify; to change it, put the new one in front and take the old one
    /// out after --credential-ttl. `openssl rand -base64 32` makes one. Prefer --auth-secret-file
    /// or the environment: other users of the machine can see a command line.
    ///
    /// Default: none; with --dev a generated one
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_AUTH_SECRET", value_name = "SECRET", hide_env_values = true,
          value_parser = secret)]
    pub auth_secret: Vec<Secret>,

    /// A file with such a secret in its first line; may be given more than once.
    ///
    /// Its secrets come after those of --auth-secret.
    ///
    /// Example: `/run/secrets/callbox-auth`
    #[arg(long, env = "CALLBOX_AUTH_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub auth_secret_file: Vec<PathBuf>,

    /// The time for which minted TURN credentials open allocations.
    ///
    /// Live allocations of a live call outlast it. Shorten it if leaked credentials are a risk;
    /// clients request new ones.
    #[arg(long, env = "CALLBOX_CREDENTIAL_TTL", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().credential_ttl),
          value_parser = at_least_a_second)]
    pub credential_ttl: Period,
}

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

/// The static TURN users, and the keys of access tokens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TURN credentials")]
pub struct TurnUserOptions {
    /// The realm of TURN credentials.
    ///
    /// Clients only display or store it. Static users' passwords are hashed with it.
    #[arg(long, env = "CALLBOX_REALM", value_name = "NAME", default_value = "callbox",
          value_parser = realm)]
    pub realm: String,

    /// A TURN user with a password that does not expire, as NAME:PASSWORD; may be given more than
    /// once.
    ///
    /// For devices that cannot fetch credentials. Give browsers time-limited ones instead.
    ///
    /// Example: `camera-1:change-me`
    #[arg(long, env = "CALLBOX_USER", value_name = "NAME:PASSWORD", hide_env_values = true)]
    pub user: Vec<StaticUser>,

    /// A file with such users, one NAME:PASSWORD in each line; may be given more than once.
    ///
    /// Empty lines and those that begin with # are ignored. Prefer it or the environment to the
    /// flag: other users of the machine can see a command line.
    ///
    /// Example: `/run/secrets/callbox-users`
    #[arg(long, env = "CALLBOX_USER_FILE", value_name = "FILE", value_delimiter = ',')]
    pub user_file: Vec<PathBuf>,

    /// A key that an authorization server seals access tokens with (RFC 7635), as KID:KEY with KEY
    /// in base64: 16 bytes for A128GCM or 32 for A256GCM; may be given more than once.
    ///
    /// For an OAuth server that gives TURN clients tokens. They are made for the server name in
    /// --realm. All clients with tokens count as one user: raise --max-allocations-per-user.
    ///
    /// Default: none, and no tokens are taken
    ///
    /// Example: `2026-11:MDEyMzQ1Njc4OWFiY2RlZg==`
    #[arg(long, env = "CALLBOX_OAUTH_KEY", value_name = "KID:KEY", hide_env_values = true,
          value_parser = secret)]
    pub oauth_key: Vec<Secret>,

    /// A file with such keys, one KID:KEY in each line; may be given more than once.
    ///
    /// Empty lines and those that begin with # are ignored. Prefer it or the environment to the
    /// flag: other users of the machine can see a command line.
    ///
    /// Example: `/run/secrets/callbox-oauth-keys`
    #[arg(long, env = "CALLBOX_OAUTH_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    pub oauth_key_file: Vec<PathBuf>,
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
        for entry in entries {
            // The text is not shown: it may be a password.
            let user = StaticUser(entry.secret().clone())
                .split()
                .ok_or_else(|| entry.malformed(" is not written as NAME:PASSWORD"))?;
            if users.iter().any(|(name, _)| *name == user.0) {
                return Err(entry.refused(format!("{:?} is there twice", user.0)));
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
        let read = |entry: Entry| {
            let text = entry.secret().expose_text().unwrap_or_default();
            text.parse().map_err(|error: AccessTokenKeyError| entry.malformed(format!(": {error}")))
        };
        entries.into_iter().map(read).collect()
    }
}
