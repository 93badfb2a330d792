//! The one table of options. It is the source of the flags, the environment variables, the keys of
//! the file, the `--help` texts, `docs/configuration.md` and `deploy/callbox.toml`.
//!
//! An option is a field with `env`; its key in the file is its flag without the dashes. The first
//! paragraph of its comment is the summary; the second says when to change it. If a default is not
//! a constant, the comment ends with a paragraph that begins with `Default:`; if there is none, one
//! with `Example:` gives the annotated file a value to show.

mod addresses;
mod credentials;
mod faults;
mod relay;
mod reports;
mod run;
mod signaling;
mod source;
mod tls;
mod tokens;
mod trace;

use callbox_cli::TokenOptions;
use clap::Args;

pub use addresses::AddressOptions;
pub use credentials::{CredentialOptions, TurnUserOptions};
pub use faults::FaultOptions;
pub use relay::{RelayOptions, RelayPolicy};
pub use reports::{DiskSync, ReportOptions};
pub use run::{LogFormat, RunOptions};
pub use signaling::SignalingOptions;
pub use source::SourceOptions;
pub use tls::{AcmeOptions, TcpListener, TlsOptions};
pub use tokens::ApiOptions;
pub use trace::TraceOptions;

/// Every option of the server.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The sources of options.
    #[command(flatten)]
    pub source: SourceOptions,
    /// The addresses of the server.
    #[command(flatten)]
    pub addresses: AddressOptions,
    /// TLS, and the proxies in front of the server.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// A certificate that is ordered and renewed.
    #[command(flatten)]
    pub acme: AcmeOptions,
    /// The secrets behind TURN credentials.
    #[command(flatten)]
    pub credentials: CredentialOptions,
    /// The static TURN users, and the keys of access tokens.
    #[command(flatten)]
    pub turn_users: TurnUserOptions,
    /// The access to signaling.
    #[command(flatten)]
    pub tokens: TokenOptions,
    /// The access to the REST API.
    #[command(flatten)]
    pub api: ApiOptions,
    /// The relay and its limits.
    #[command(flatten)]
    pub relay: RelayOptions,
    /// The signaling side and its limits.
    #[command(flatten)]
    pub signaling: SignalingOptions,
    /// The receivers of reports about calls.
    #[command(flatten)]
    pub reports: ReportOptions,
    /// Traces of calls.
    #[command(flatten)]
    pub trace: TraceOptions,
    /// Faults that tests ask for.
    #[command(flatten)]
    pub faults: FaultOptions,
    /// The process and its output.
    #[command(flatten)]
    pub run: RunOptions,
}
