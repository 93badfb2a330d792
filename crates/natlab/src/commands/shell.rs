//! `callbox natlab shell`: a shell on a side of a lab.

use std::{env, io::IsTerminal};

use clap::Args;

use super::lab_options::LabOptions;
use crate::{error::LabError, process::Task};

/// Open a shell on a side of a lab.
#[derive(Debug, Args)]
pub(super) struct ShellArgs {
    /// The side.
    #[arg(default_value = "a")]
    side: String,

    #[command(flatten)]
    lab: LabOptions,
}

/// Runs the shell that SHELL names.
pub(super) fn run(args: &ShellArgs) -> Result<u8, LabError> {
    let lab = args.lab.lab()?;
    let mut task = Task::new(env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    if std::io::stdin().is_terminal() {
        task.with_terminal();
        if let Some(kind) = lab.kind(&args.side) {
            eprintln!(
                "natlab: a shell on {}, {kind}; `env | grep NATLAB` shows the lab",
                args.side
            );
        }
    }
    let mut process = lab.spawn(&args.side, task)?;
    Ok(process.wait()?.code())
}
