//! The options for the tokens of signaling, and the signer of such tokens.

use std::path::PathBuf;

use callbox_base::auth::Secret;
use callbox_signaling::jwt::TokenMinter;
use clap::Args;
use http::Uri;

use crate::{
    secrets::{SecretError, with_files},
    values::{https_url, secret},
};

/// The options for the tokens of signaling.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens")]
pub struct TokenOptions {
    /// The shared secret of HS256 tokens; may be given more than once.
    ///
    /// Your back end signs a token for each of its users: sub is the user's id, exp the end. The
    /// first secret also signs what `callbox token` and POST /api/v1/tokens make.
    /// `openssl rand -base64 32` makes one.
    ///
    /// Default: none; with --dev a generated one
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_JWT_SECRET", value_name = "SECRET", hide_env_values = true,
          value_parser = secret)]
    pub jwt_secret: Vec<Secret>,

    /// A file with such a secret in its first line; may be given more than once.
    ///
    /// Its secrets come after those of --jwt-secret. Prefer it or the environment to the flag:
    /// other users of the machine can see a command line.
    ///
    /// Example: `/run/secrets/callbox-jwt`
    #[arg(long, env = "CALLBOX_JWT_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub jwt_secret_file: Vec<PathBuf>,

    /// A PEM file with the public key of tokens; may be given more than once.
    ///
    /// For back ends that do not share their key: RS256 for an RSA key, ES256 for one on P-256,
    /// EdDSA for Ed25519.
    ///
    /// Example: `/etc/callbox/jwt.pub.pem`
    #[arg(long, env = "CALLBOX_JWT_PUBLIC_KEY", value_name = "FILE", value_delimiter = ',')]
    pub jwt_public_key: Vec<PathBuf>,

    /// The URL of the published public keys of tokens, a JSON Web Key Set (RFC 7517).
    ///
    /// For an identity provider that changes its keys by itself: those for RS256, ES256 and EdDSA
    /// are used, up to 32 in 64 KiB. They are fetched at the start, every hour, and when a token
    /// names one that is not known, but then at most every ten seconds. The server starts without
    /// them, too, and tries again; until then it accepts tokens of its other keys. Set
    /// --jwt-audience as well, since such a provider signs tokens for other services, too. Plain
    /// HTTP is possible only to this machine.
    ///
    /// Example: `https://login.example.com/.well-known/jwks.json`
    #[arg(long, env = "CALLBOX_JWT_JWKS_URL", value_name = "URL", value_parser = https_url)]
    pub jwt_jwks_url: Option<Uri>,

    /// The iss that a token must carry.
    ///
    /// Set it if the issuer signs tokens for others with the same key.
    ///
    /// Default: any, or none
    ///
    /// Example: `https://login.example.com`
    #[arg(long, env = "CALLBOX_JWT_ISSUER", value_name = "TEXT")]
    pub jwt_issuer: Option<String>,

    /// The aud that a token must carry, alone or among others.
    ///
    /// Set it if tokens for other services are signed with the same key.
    ///
    /// Default: any, or none
    ///
    /// Example: `callbox`
    #[arg(long, env = "CALLBOX_JWT_AUDIENCE", value_name = "TEXT")]
    pub jwt_audience: Option<String>,
}

impl TokenOptions {
    /// Returns true if there is a shared secret, or a file that should have one.
    pub fn have_secret(&self) -> bool {
        !self.jwt_secret.is_empty() || !self.jwt_secret_file.is_empty()
    }

    /// Returns the shared secrets of tokens, the one that signs first.
    ///
    /// # Errors
    /// [`SecretError`] if a file cannot be read, or has no secret in it.
    pub fn secrets(&self, dev: bool) -> Result<Vec<Secret>, SecretError> {
        match !self.have_secret() && dev {
            true => Ok(vec![Secret::generate()]),
            false => with_files(&self.jwt_secret, "jwt-secret-file", &self.jwt_secret_file),
        }
    }

    /// Returns the signer of tokens that this server accepts.
    ///
    /// # Errors
    /// [`SecretError::NoSigningSecret`] if there is no shared secret, and others if it cannot be
    /// read.
    pub fn minter(&self) -> Result<TokenMinter, SecretError> {
        let secrets = self.secrets(false)?;
        Ok(self.minter_with(secrets.first().ok_or(SecretError::NoSigningSecret)?))
    }

    /// Returns the signer of tokens by this shared secret.
    pub fn minter_with(&self, secret: &Secret) -> TokenMinter {
        TokenMinter::new(secret, self.jwt_issuer.as_deref(), self.jwt_audience.as_deref())
    }
}
