//! `callbox token`: makes a token as a back end would.

use anyhow::Context;
use callbox_base::{clock::Now, ids::UserId};
use callbox_cli::{Period, TokenOptions, say};
use callbox_signaling::jwt::{DEFAULT_TTL, Grants, Wanted};
use clap::Args;

use crate::config::SourceOptions;

/// The arguments of `callbox token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The user of the token: its `sub`.
    #[arg(long, value_name = "NAME")]
    user: UserId,

    /// The display name: its `name`.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// The time for which the token is valid.
    #[arg(long, value_name = "DURATION", default_value_t = Period(DEFAULT_TTL))]
    ttl: Period,

    /// A user who may be called, as a user id in which `*` stands for any text; may be given more
    /// than once. Its `callbox.call`; everyone, if it is not given.
    #[arg(long, value_name = "PATTERN")]
    call: Vec<String>,

    /// A user whose presence may be seen, in the same form; may be given more than once. Its
    /// `callbox.presence`; those who may be called, if it is not given.
    #[arg(long, value_name = "PATTERN")]
    presence: Vec<String>,

    /// A room that may be joined, as a room id in which `*` stands for any text; may be given more
    /// than once. Its `callbox.rooms`; every one, if it is not given.
    #[arg(long, value_name = "PATTERN")]
    room: Vec<String>,

    /// A user who may not call this one, as a user id in which `*` stands for any text; may be
    /// given more than once. Its `callbox.block`; nobody is blocked, if it is not given.
    #[arg(long, value_name = "PATTERN")]
    block: Vec<String>,

    /// Maximum number of live calls of the user: its `callbox.maxCalls`.
    #[arg(long, value_name = "NUMBER")]
    max_calls: Option<u64>,

    /// Without credentials for the relay: its `callbox.relay` is false.
    #[arg(long)]
    no_relay: bool,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    tokens: TokenOptions,
}

/// Prints a token.
pub(super) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        !args.source.dev || args.tokens.have_secret(),
        "a server that runs with --dev has generated its secret; ask it for a token: curl -d \
         '{{\"userId\":\"{}\"}}' -H 'content-type: application/json' \
         http://127.0.0.1:8080/dev/token",
        args.user
    );
    let minter = args.tokens.minter()?;
    let wanted = Wanted {
        user: args.user.clone(),
        name: args.name.clone(),
        ttl: args.ttl.0,
        grants: Grants {
            call: Some(args.call.clone()).filter(|patterns| !patterns.is_empty()),
            presence: Some(args.presence.clone()).filter(|patterns| !patterns.is_empty()),
            rooms: Some(args.room.clone()).filter(|patterns| !patterns.is_empty()),
            block: Some(args.block.clone()).filter(|patterns| !patterns.is_empty()),
            max_calls: args.max_calls,
            relay: !args.no_relay,
        },
    };
    let minted = minter.mint(&wanted, Now::read()).context("no such token can be made")?;
    say!("{}", minted.token);
    Ok(())
}
