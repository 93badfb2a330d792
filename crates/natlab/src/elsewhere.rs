//! The command on systems that have no network namespaces.

use std::ffi::OsString;

use clap::Args;

use crate::LabError;

/// Run programs behind NATs of a chosen kind, on Linux.
#[derive(Debug, Args)]
pub struct NatlabArgs {
    /// Anything.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Fails.
///
/// # Errors
/// Always: [`LabError`].
pub fn run(_: &NatlabArgs) -> anyhow::Result<u8> {
    Err(LabError::new(
        "natlab needs Linux, whose network namespaces it is made of: run it there, or in a Linux \
         virtual machine or container",
    )
    .into())
}
