//! Lines of JSON on stdin and stdout.

use std::{
    io::{self, BufRead, Write},
    thread,
};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::mpsc;

/// Prints a value as one line.
///
/// # Errors
/// Nobody reads stdout.
pub(crate) fn print(value: &impl Serialize) -> anyhow::Result<()> {
    print_text(&serde_json::to_string(value)?)
}

/// Prints one line.
///
/// # Errors
/// Nobody reads stdout.
pub(crate) fn print_text(line: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.context("nobody reads the output")
}

/// Returns the lines of stdin. A thread reads them, which ends with the process.
pub(crate) fn lines() -> io::Result<mpsc::UnboundedReceiver<String>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::Builder::new().name("stdin".into()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
