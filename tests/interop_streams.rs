//! coturn's own client against the whole server, over TCP and TLS.

mod common;

use std::{
    process::{Command, Output},
    thread,
};

use common::Server;

/// Runs `turnutils_uclient` with many packets, and fails unless each of them came back.
fn uclient(at: &str, args: &[&str]) {
    let (ip, port) = at.rsplit_once(':').unwrap();
    let ip = ip.trim_matches(['[', ']']);
    let common = ["60", "turnutils_uclient", "-p", port, "-n", "200", "-m", "4", "-l", "172"];
    let Output { status, stdout, stderr } = Command::new("timeout")
        .args(common)
        .args(["-z", "5", "-u", "static", "-w", "pass"])
        .args(args)
        .arg(ip)
        .output()
        .expect("turnutils_uclient can be run");
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{args:?}: {status}\n{text}");
    assert!(text.contains("Total lost packets 0 "), "{args:?}\n{text}");
    let sent = text.lines().filter_map(|l| l.split("tot_send_msgs=").nth(1)).next_back();
    let sent: u32 = sent.and_then(|t| t.split(',').next()?.trim().parse().ok()).expect("a total");
    assert!(sent >= 800, "{args:?}: only {sent} packets were sent\n{text}");
}

#[test]
fn clients_of_tcp_and_tls_reach_each_other() {
    let server = Server::with(&[
        "--user",
        "static:pass",
        "--listen",
        "[::1]:0",
        "--max-connections-per-address",
        "1000",
        "--workers",
        "2",
    ]);
    let uris = server.ready["turn"].as_array().unwrap();
    let of = |ip: &str| {
        let at = uris.iter().filter_map(|uri| uri.as_str()?.strip_prefix("turn:"));
        let mut at = at.filter_map(|at| at.strip_suffix("?transport=tcp"));
        at.find(|at| at.starts_with(ip)).expect("a listener").to_owned()
    };
    // Each waits most of the time, for itself.
    thread::scope(|scope| {
        for (at, family) in [(of("127."), &[][..]), (of("[::1]"), &["-x"])] {
            for transport in [&["-t"][..], &["-t", "-S"]] {
                for how in [&[][..], &["-s"]] {
                    let (at, args) = (at.clone(), [&["-y"][..], family, transport, how].concat());
                    scope.spawn(move || uclient(&at, &args));
                }
            }
        }
    });
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}
