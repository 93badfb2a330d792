//! `callbox natlab`: the NATs are what their kinds say, and nothing is left behind.

mod ends;
mod errors;
mod kept;
mod links;
mod programs;

use std::process::{Child, Command};

use crate::common::{callbox, run};

/// Returns `callbox natlab` with these arguments.
fn natlab(args: &[&str]) -> Command {
    callbox(&[&["natlab"], args].concat())
}

/// Kills a process that a test has started, and waits for it.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// NAT behavior discovery (RFC 5780) finds in each kind of NAT what the kind promises.
#[test]
fn each_kind_is_what_it_says() {
    let output = run(&mut natlab(&["verify", "--json"]));
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    let kinds = output.stdout.lines().count();
    assert!(kinds >= 24, "{kinds} kinds: {}", output.stdout);
    assert!(output.stdout.lines().all(|line| line.contains("\"ok\":true")), "{}", output.stdout);
}
