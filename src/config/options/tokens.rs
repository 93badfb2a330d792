//! The options for the access to signaling and to the REST API.

use std::path::PathBuf;

use axum::http::Uri;
use callbox_base::auth::Secret;
use clap::Args;

use crate::config::values::{https_url, secret};

/// The access to signaling.
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
    /// Its secrets come after those of --jwt-secret. Prefer it or the environment to the flag: other
    /// users of the machine can see a command line.
    ///
    /// Example: `/run/secrets/callbox-jwt`
    #[arg(long, env = "CALLBOX_JWT_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub jwt_secret_file: Vec<PathBuf>,

    /// A PEM file with the public key of tokens; may be given more than once.
    ///
    /// For back ends that keep their key to themselves: RS256 for an RSA key, ES256 for one on
    /// P-256, EdDSA for Ed25519.
    ///
    /// Example: `/etc/callbox/jwt.pub.pem`
    #[arg(long, env = "CALLBOX_JWT_PUBLIC_KEY", value_name = "FILE", value_delimiter = ',')]
    pub jwt_public_key: Vec<PathBuf>,

    /// The address at which the public keys of tokens are published, as a JSON Web Key Set (RFC
    /// 7517).
    ///
    /// For an identity provider that changes its keys by itself: those for RS256, ES256 and EdDSA
    /// are used, up to 32 in 64 KiB. They are fetched at the start, every hour, and when a token
    /// names one that is not known, but then at most every ten seconds. The server starts without
    /// them, too, and tries again; meanwhile it takes what other keys have signed. Set
    /// --jwt-audience as well, since such a provider signs for others. Plain HTTP goes to this machine
    /// only.
    ///
    /// Example: `https://login.example.com/.well-known/jwks.json`
    #[arg(long, env = "CALLBOX_JWT_JWKS_URL", value_name = "URL", value_parser = https_url)]
    pub jwt_jwks_url: Option<Uri>,

    /// The iss that a token must carry.
    ///
    /// Set it where the issuer signs for others with the same key.
    ///
    /// Default: any, or none
    ///
    /// Example: `https://login.example.com`
    #[arg(long, env = "CALLBOX_JWT_ISSUER", value_name = "TEXT")]
    pub jwt_issuer: Option<String>,

    /// The aud that a token must carry, alone or among others.
    ///
    /// Set it where tokens for other services are signed with the same key.
    ///
    /// Default: any, or none
    ///
    /// Example: `callbox`
    #[arg(long, env = "CALLBOX_JWT_AUDIENCE", value_name = "TEXT")]
    pub jwt_audience: Option<String>,
}

/// The access to the REST API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens")]
pub struct ApiOptions {
    /// A key that opens the operators' part of the REST API to your back end; may be given more than
    /// once.
    ///
    /// Whoever has it sees and ends calls and sessions, and gets a token for any user.
    ///
    /// `openssl rand -base64 32` makes one.
    ///
    /// Default: none, and these pages stay closed; with --dev a generated one
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_API_KEY", value_name = "KEY", hide_env_values = true,
          value_parser = secret)]
    pub api_key: Vec<Secret>,

    /// A file with such a key in its first line; may be given more than once.
    ///
    /// Prefer it or the environment to the flag: other users of the machine can see a command line.
    ///
    /// Example: `/run/secrets/callbox-api-key`
    #[arg(long, env = "CALLBOX_API_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    pub api_key_file: Vec<PathBuf>,
}
