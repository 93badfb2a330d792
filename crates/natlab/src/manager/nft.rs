//! Loads rules with the program `nft`.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::{LabError, Tried};

/// Where nft is on systems that keep it out of a user's `PATH`.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Finds the program.
///
/// # Errors
/// It is not installed; the error says how to change that.
pub(crate) fn find() -> Result<PathBuf, LabError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(SYSTEM.iter().map(PathBuf::from));
    directories.map(|directory| directory.join("nft")).find(|file| file.is_file()).ok_or_else(
        || {
            LabError::new(
                "there is no `nft`, which makes the NATs of the lab: install nftables, as with \
             `apt-get install nftables`",
            )
        },
    )
}

/// Loads rules into the network namespace of the calling thread: all of them or none.
pub(super) fn load(program: &Path, rules: &str) -> Result<(), LabError> {
    let failed = "cannot run nft";
    let mut child = Command::new(program)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .tried(failed)?;
    // If nft has ended early, its output says why.
    let _ = child.stdin.take().map(|mut input| input.write_all(rules.as_bytes()));
    let output = child.wait_with_output().tried(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().next().unwrap_or("it does not say why");
    Err(LabError::new(format!(
        "nft refuses the rules of a router ({line}): they need nft 1.0 and Linux 5.15 with the \
         modules of nftables"
    )))
}
