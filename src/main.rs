//! The `callbox` binary: parses and dispatches.
#![forbid(unsafe_code)]

use std::{ffi::OsString, process::ExitCode};

/// The allocator of the server: it gives back to the system what is not used any more.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(callbox::commands::run(&args))
}
