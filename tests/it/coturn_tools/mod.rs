//! coturn's client programs, from Debian's package `coturn`.

use std::{net::SocketAddr, process::Command};

/// Runs a program against the server at `at` until it ends or the deadline passes, and returns its
/// output. Panics unless the program succeeds.
pub(crate) fn run(tool: &str, at: SocketAddr, args: &[&str]) -> String {
    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    let out = Command::new("timeout")
        .args(["60", tool, "-p", &port])
        .args(args)
        .arg(ip)
        .output()
        .unwrap_or_else(|error| panic!("{tool} cannot be run: {error}"));
    let text = [out.stdout, out.stderr].map(|t| String::from_utf8_lossy(&t).into_owned()).concat();
    assert!(out.status.success(), "{tool} {args:?}: {}\n{text}", out.status);
    text
}

/// Runs `turnutils_uclient` with 200 packets from each of four clients, and panics unless each
/// packet came back.
pub(crate) fn uclient(at: SocketAddr, args: &[&str]) {
    let many = ["-n", "200", "-m", "4", "-l", "172", "-z", "5"];
    let text = run("turnutils_uclient", at, &[&many[..], args].concat());
    assert_nothing_lost(&text);
    let sent = text.lines().filter_map(|l| l.split("tot_send_msgs=").nth(1)).next_back();
    let sent: u32 = sent.and_then(|t| t.split(',').next()?.trim().parse().ok()).expect("a total");
    assert!(sent >= 800, "{args:?}: only {sent} packets were sent\n{text}");
}

/// Panics unless everything that `turnutils_uclient` sent came back.
pub(crate) fn assert_nothing_lost(text: &str) {
    assert!(text.contains("Total lost packets 0 "), "{text}");
}
