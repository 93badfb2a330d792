//! stub for now
use clap::Args;
/// x
#[derive(Debug, Args)]
pub(super) struct CheckArgs {}
pub(super) fn run(_: CheckArgs) -> anyhow::Result<bool> {
    Ok(true)
}
