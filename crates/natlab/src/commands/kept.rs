//! `callbox natlab up`, `down` and `list`: labs that outlast the command.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use callbox_cli::say;
use clap::Args;

use super::lab_options::PlanOptions;
use crate::{
    control::{LabName, all_names},
    error::{LabError, Tried},
    lab::Lab,
};

/// The line by which the holder says that its lab is up.
const UP: &str = "up";

/// Start a lab that stays until `callbox natlab down`.
///
/// `run --lab NAME`, `shell --lab NAME` and `do --lab NAME` use it.
#[derive(Debug, Clone, Args)]
pub(super) struct UpArgs {
    /// The name of the lab.
    name: LabName,

    #[command(flatten)]
    plan: PlanOptions,
}

/// End a lab, with every process in it.
#[derive(Debug, Args)]
pub(super) struct DownArgs {
    /// The lab; by default the only one that is up.
    name: Option<LabName>,
}

/// Starts another process that holds the lab, and waits until the lab is up.
pub(super) fn up(args: &UpArgs) -> Result<u8, LabError> {
    args.plan.plan()?;
    let failed = "cannot start the process that holds the lab";
    let mut given = env::args_os().skip(1).collect::<Vec<_>>();
    // `natlab up …` becomes `natlab hold …`; all else is the same.
    let command = given.iter_mut().find(|arg| *arg == "up");
    *command.ok_or_else(|| LabError::new(failed))? = "hold".into();
    let mut holder = Command::new("/proc/self/exe")
        .args(given)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .tried(failed)?;
    let mut line = String::new();
    if let Some(stdout) = holder.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).tried(failed)?;
    }
    if line.trim() == UP {
        say!("the lab {} is up", args.name.as_str());
        return Ok(0);
    }
    let output = holder.wait_with_output().tried(failed)?;
    let text = String::from_utf8_lossy(&output.stderr);
    Err(LabError::new(text.trim().trim_start_matches("callbox: ")))
}

/// Holds a lab until it is taken down.
pub(super) fn hold(args: &UpArgs) -> Result<u8, LabError> {
    let failed = "cannot leave the terminal";
    rustix::process::setsid().map_err(Into::into).tried(failed)?;
    let mut lab = Lab::start_as(args.name.clone(), &args.plan.plan()?)?;
    writeln!(io::stdout(), "{UP}").and_then(|()| io::stdout().flush()).tried(failed)?;
    // The command that waits for the end of these streams need not wait.
    let nothing = std::fs::File::options().write(true).open("/dev/null").tried(failed)?;
    rustix::stdio::dup2_stdout(&nothing)
        .and_then(|()| rustix::stdio::dup2_stderr(&nothing))
        .map_err(Into::into)
        .tried(failed)?;
    lab.wait();
    Ok(0)
}

/// Ends a lab.
pub(super) fn down(args: &DownArgs) -> Result<u8, LabError> {
    let name = named_or_only(args.name.as_ref())?;
    Lab::connect(name)?.take_down()?;
    Ok(0)
}

/// Lists the labs of this user, with the kinds of their sides.
pub(super) fn list() -> Result<u8, LabError> {
    for name in all_names().tried("cannot list the labs")? {
        // A lab that is being built or has just ended does not answer.
        let Ok(lab) = Lab::connect(name) else { continue };
        let sides = lab.sides().map(|side| match lab.kind(side) {
            Some(kind) => format!("{side}: {kind}"),
            None => side.to_owned(),
        });
        say!("{}  {}", lab.name(), sides.collect::<Vec<_>>().join("  "));
    }
    Ok(0)
}

/// Returns the given name, or that of the only lab.
pub(super) fn named_or_only(name: Option<&LabName>) -> Result<LabName, LabError> {
    if let Some(name) = name {
        return Ok(name.clone());
    }
    let mut names = all_names().tried("cannot list the labs")?;
    match (names.pop(), names.len()) {
        (Some(name), 0) => Ok(name),
        (None, _) => Err(LabError::new("no lab is up: `callbox natlab up NAME` starts one")),
        (Some(_), others) => Err(LabError::new(format!(
            "{} labs are up: name one of those that `callbox natlab list` shows",
            others + 1
        ))),
    }
}
