//! `callbox natlab do`: changes the network of a side while a lab is up.

use callbox_cli::say;
use clap::Args;

use crate::{action::Action, control::LabName, error::LabError, lab::Lab};

/// Change the network of a side of a lab that is up.
///
/// `reboot`: the router forgets its mappings. `move`: the host gets another address. `cut 5s`: the
/// link drops everything for a while. `block udp`, `unblock udp` (or tcp). `loss 5%`, `delay 80ms`,
/// `jitter 10ms`, `rate 2mbit`: the quality of the link, in each direction.
#[derive(Debug, Args)]
pub(super) struct DoArgs {
    /// The lab; by default the one that this program runs in, or the only one that is up.
    #[arg(long, env = "NATLAB_NAME", value_name = "NAME")]
    lab: Option<LabName>,

    /// The side.
    side: String,

    /// The action, as `reboot` or `loss 5%`.
    #[arg(required = true, num_args = 1.., value_name = "ACTION")]
    action: Vec<String>,
}

/// Changes the network, and says what was done.
pub(super) fn run(args: &DoArgs) -> Result<u8, LabError> {
    let action: Action =
        args.action.join(" ").parse().map_err(|error| LabError::new(format!("{error}")))?;
    let lab = Lab::connect(super::kept::named_or_only(args.lab.as_ref())?)?;
    say!("{}", lab.act(&args.side, &action)?);
    Ok(0)
}
