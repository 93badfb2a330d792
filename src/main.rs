//! The `callbox` binary: parses and dispatches.

use std::{ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(callbox::commands::run(&args))
}
