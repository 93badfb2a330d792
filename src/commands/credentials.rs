//! `callbox credentials`: makes TURN credentials as a back end would.

use callbox_base::{
    auth::TurnSecrets,
    clock::Now,
    ids::{CallId, UserId},
};
use callbox_cli::say;
use clap::Args;

use crate::config::{CredentialOptions, SourceOptions};

/// The arguments of `callbox credentials`.
#[derive(Debug, Args)]
pub(super) struct CredentialsArgs {
    /// The user of the credentials.
    #[arg(long, value_name = "NAME")]
    user: UserId,

    /// The only call that they are for; the relay refuses them once it has ended.
    #[arg(long, value_name = "ID")]
    call: Option<CallId>,

    /// Print one line of JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    credentials: CredentialOptions,
}

/// Prints a username and a password.
pub(super) fn run(args: &CredentialsArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        !args.source.dev || args.credentials.have_secret(),
        "a server that runs with --dev has generated its secret; ask it for credentials at \
         /api/v1/ice-servers, with a token from /dev/token"
    );
    let secrets = TurnSecrets::new(&args.credentials.secrets(false)?);
    let ttl = args.credentials.credential_ttl.0;
    let minted = secrets
        .mint(Now::read(), ttl, &args.user, args.call, &[])
        .ok_or_else(|| anyhow::anyhow!("there is no secret to mint with"))?;
    if args.json {
        let json = serde_json::json!({
            "username": minted.username,
            "password": minted.password,
            "ttl": minted.ttl,
        });
        say!("{json}");
    } else {
        say!(
            "username: {}\npassword: {}\nttl:      {} s",
            minted.username,
            minted.password,
            minted.ttl
        );
    }
    Ok(())
}
