//! The `callbox` binary: parses and dispatches.
#![forbid(unsafe_code)]

use std::{ffi::OsString, process::ExitCode};

/// The allocator of the server, which returns unused memory to the system.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(callbox::commands::run(&args))
}
