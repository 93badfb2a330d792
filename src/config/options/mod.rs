//! The one table of options. The flags, the environment variables, the keys of the file, the
//! `--help` texts, `docs/configuration.md` and `deploy/callbox.toml` all come from here.
//!
//! An option is a field with `env`; its key in the file is its flag without the dashes. The first
//! paragraph of its comment is the summary; the second says when to touch it. Where a default is
//! not a constant, the comment ends with a paragraph that begins with `Default:`; where there is
//! none, one with `Example:` gives the annotated file something to show.

mod addresses;
mod credentials;
mod relay;
mod reports;
mod run;
mod signaling;
mod source;
mod tls;
mod tokens;

use callbox_cli::TokenOptions;
use clap::Args;

pub use addresses::AddressOptions;
pub use credentials::{CredentialOptions, TurnUserOptions};
pub use relay::{RelayOptions, RelayPolicy};
pub use reports::ReportOptions;
pub use run::{LogFormat, RunOptions};
pub use signaling::SignalingOptions;
pub use source::SourceOptions;
pub use tls::{AcmeOptions, TcpListener, TlsOptions};
pub use tokens::ApiOptions;

/// Every option of the server.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where options come from.
    #[command(flatten)]
    pub source: SourceOptions,
    /// Where the server is reached.
    #[command(flatten)]
    pub addresses: AddressOptions,
    /// TLS, and what stands in front of the server.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// A certificate that is ordered and renewed.
    #[command(flatten)]
    pub acme: AcmeOptions,
    /// The secrets behind TURN credentials.
    #[command(flatten)]
    pub credentials: CredentialOptions,
    /// More about TURN users.
    #[command(flatten)]
    pub turn_users: TurnUserOptions,
    /// Who may use signaling.
    #[command(flatten)]
    pub tokens: TokenOptions,
    /// Who may use the REST API.
    #[command(flatten)]
    pub api: ApiOptions,
    /// What the relay does and how much of it.
    #[command(flatten)]
    pub relay: RelayOptions,
    /// The signaling side and its limits.
    #[command(flatten)]
    pub signaling: SignalingOptions,
    /// Who is told of calls.
    #[command(flatten)]
    pub reports: ReportOptions,
    /// How the process runs and what it writes.
    #[command(flatten)]
    pub run: RunOptions,
}
