//! `callbox token`: makes a token as a back end would.

use clap::Args;

use crate::{
    clock::Now,
    config::{Period, SourceOptions, TokenOptions},
    ids::UserId,
};

/// The arguments of `callbox token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Whose token: its `sub`.
    #[arg(long, value_name = "NAME")]
    user: UserId,

    /// What to show to people: its `name`.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// For how long it is good.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: Period,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    tokens: TokenOptions,
}

/// Prints a token.
pub(super) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        !args.source.dev || !args.tokens.jwt_secret.is_empty(),
        "a server that runs with --dev has generated its secret; ask it for a token: curl -d \
         '{{\"userId\":\"{}\"}}' -H 'content-type: application/json' \
         http://127.0.0.1:8080/dev/token",
        args.user
    );
    let minter = args.tokens.minter()?;
    println!("{}", minter.mint(&args.user, args.name.as_deref(), args.ttl.0, Now::read()));
    Ok(())
}
