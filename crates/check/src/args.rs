//! The arguments of `callbox check`.

use std::path::{Path, PathBuf};

use callbox_cli::Period;
use clap::Args;

use super::conformance::ConformanceArgs;

/// The arguments of `callbox check`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0 if every step that was taken went well, else with 1.")]
pub struct CheckArgs {
    /// The server's address, of HTTP or HTTPS.
    ///
    /// Behind a reverse proxy that terminates TLS, name the address that clients connect to, so
    /// that the proxy is checked, too.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,

    /// A user's token.
    ///
    /// A server with --dev provides tokens for two users by itself; for any other one, use the
    /// output of `callbox token --user NAME`.
    #[arg(long, value_name = "TOKEN", env = "CALLBOX_CHECK_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,

    /// Another user's token, to check a call between the two. Without it, and with --token, no call
    /// is checked.
    #[arg(long, value_name = "TOKEN", env = "CALLBOX_CHECK_TOKEN2", hide_env_values = true)]
    pub(super) token2: Option<String>,

    /// A PEM file with the certificates that TLS is verified with: of a CA of your own, or the
    /// server's own one if it is self-signed.
    ///
    /// Without it, TLS is verified with the certificates that browsers trust.
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,

    /// Print one JSON object and no table.
    #[arg(long)]
    pub(super) json: bool,

    /// The time that each step, or with --conformance each answer, may take.
    ///
    /// Give more time to a server that is far away.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub(super) timeout: Period,

    #[command(flatten)]
    pub(super) conformance: ConformanceArgs,
}

impl CheckArgs {
    /// Returns the file of trusted certificates.
    pub(super) fn ca_cert(&self) -> Option<&Path> {
        self.ca_cert.as_deref()
    }
}
