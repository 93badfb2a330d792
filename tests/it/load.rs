//! `callbox load` against `callbox serve`: packets arrive unchanged by every path.

use std::{net::UdpSocket, path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::common::{Server, callbox, run};

/// Runs a short load at a rate that any machine sustains; returns its report.
fn load(server: &Server, args: &[&str]) -> Value {
    // The secret may begin with a dash, so it is no argument of its own.
    let secret = format!("--auth-secret={}", server.text("/dev/authSecret"));
    report(server, &[&["--server", server.turn(), &secret][..], args].concat())
}

fn report(server: &Server, args: &[&str]) -> Value {
    let pid = server.pid().to_string();
    let mut all = vec!["load", "--pid", &pid, "--json"];
    all.extend(["--rate", "1000", "--duration", "500ms"]);
    if !args.contains(&"--clients") {
        all.extend(["--clients", "10"]);
    }
    all.extend(args);
    let output = run(&mut callbox(&all));
    assert_eq!(output.status, 0, "{args:?}: {}{}", output.stdout, output.stderr);
    serde_json::from_str(&output.stdout).expect("one JSON object")
}

#[test]
fn every_path_and_framing_delivers() {
    let server = Server::start();
    for path in ["up", "down", "clients"] {
        for framing in ["channel", "indication"] {
            for burst in [&[][..], &["--burst", "8", "--gso"]] {
                let args = [&["--path", path, "--framing", framing][..], burst].concat();
                let report = load(&server, &args);
                let number = |name: &str| report[name].as_f64().unwrap();
                // On a busy machine fewer packets are sent than planned.
                assert!(number("received") >= 100.0, "{args:?}: {report}");
                assert_eq!(number("lossPercent"), 0.0, "{args:?}: {report}");
                assert!(number("cpuUsPerPacket") > 0.0);
                assert!(report["latencyUs"]["median"].as_f64().unwrap() > 0.0);
            }
        }
    }
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
    assert!(server.metric(r#"callbox_relayed_packets_total{direction="down"}"#) > 100.0);
}

/// Starts the bare forwarder of `tests/bench` to a local port.
fn forwarder(peer_port: &str, args: &[&str]) -> Server {
    let binary = Path::new(env!("CARGO_BIN_EXE_callbox")).with_file_name("examples/forwarder");
    assert!(binary.is_file(), "it comes with a plain `cargo test`, or: cargo build --examples");
    let mut command = Command::new(binary);
    let peer = format!("127.0.0.1:{peer_port}");
    Server::spawn(command.args(["--listen", "127.0.0.1:0", "--peer", &peer]).args(args))
}

#[test]
fn a_bare_forwarder_carries_the_same_load_without_turn() {
    for mode in [&[][..], &["--batch"]] {
        for path in ["up", "down"] {
            for burst in [&[][..], &["--burst", "8", "--gso"]] {
                let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
                let port = free.to_string();
                let server = forwarder(&port, mode);
                let at = server.text("/listen");
                let plain = ["--framing", "none", "--server", at, "--peer-port", &port];
                let args = [&plain, &["--path", path][..], burst].concat();
                let report = report(&server, &args);
                let number = |name: &str| report[name].as_f64().unwrap();
                assert!(number("received") >= 100.0, "{mode:?} {args:?}: {report}");
                assert_eq!(number("lossPercent"), 0.0, "{mode:?} {args:?}: {report}");
                assert!(report.get("allocationsPerSecond").is_none(), "{report}");
            }
        }
    }
}

#[test]
fn a_missing_forwarder_is_an_error() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = nobody.local_addr().unwrap().to_string();
    let mut all = vec!["load", "--framing", "none", "--server", &at, "--clients", "2"];
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    all.extend(["--peer-port", &free]);
    let output = run(&mut callbox(&all));
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("nothing of client 0 came through"), "{}", output.stderr);
}

#[test]
fn clients_are_replaced_under_load_without_loss() {
    let server = Server::start();
    for (path, framing) in [("up", "channel"), ("down", "channel"), ("down", "indication")] {
        let args = ["--path", path, "--framing", framing, "--churn", "20"];
        let report = load(&server, &args);
        let number = |name: &str| report[name].as_f64().unwrap();
        assert!(number("churned") >= 1.0, "{args:?}: {report}");
        assert!(number("received") >= 100.0, "{args:?}: {report}");
        assert_eq!(number("lossPercent"), 0.0, "{args:?}: {report}");
    }
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}

#[test]
fn allocations_are_refreshed_under_load_without_loss() {
    let server = Server::start();
    for path in ["up", "down", "clients"] {
        for framing in ["channel", "indication"] {
            let args = ["--path", path, "--framing", framing, "--renew", "50ms"];
            let report = load(&server, &args);
            let number = |name: &str| report[name].as_f64().unwrap();
            assert!(number("renewals") >= 50.0, "{args:?}: {report}");
            assert_eq!(number("renewalsRefused"), 0.0, "{args:?}: {report}");
            assert_eq!(number("lossPercent"), 0.0, "{args:?}: {report}");
        }
    }
}

#[test]
fn binding_requests_are_counted() {
    let report = load(&Server::start(), &["--binding", "200ms"]);
    let number = |name: &str| report[name].as_f64().unwrap();
    assert!(number("bindingsPerSecond") > 100.0, "{report}");
    assert!(number("cpuUsPerBinding") > 0.0, "{report}");
    assert!(number("cpuUsPerAllocation") > 0.0, "{report}");
    assert!(number("memoryBefore") > 0.0 && number("memoryAfter") > 0.0, "{report}");
}

#[test]
fn impossible_options_are_refused_with_a_reason() {
    let refused = |args: &[&str], reason: &str| {
        let output = run(callbox(&["load", "--password", "x"]).args(args));
        assert_ne!(output.status, 0);
        assert!(output.stderr.contains(reason), "{args:?}: {}", output.stderr);
    };
    refused(&["--size", "3"], "--size 3: at least 16");
    refused(&["--clients", "0"], "--clients 0");
    refused(&["--path", "clients", "--clients", "1"], "2 or more");
    refused(&["--pid", "4294967295"], "there is no such process");
    refused(&["--gso", "--burst", "64", "--size", "1200"], "lower --burst or --size");
    let forwarder = ["--framing", "none", "--peer-port", "4000"];
    let with = |more: &[&'static str]| [&forwarder[..], more].concat();
    refused(&["--framing", "none"], "give --peer-port");
    refused(&with(&["--path", "clients"]), "cannot join clients; take --path up or down");
    refused(&with(&["--binding", "1s"]), "answers no --binding");
    refused(&with(&["--churn", "1"]), "does not learn that a client leaves");
    refused(&["--path", "clients", "--churn", "1"], "take --path up or down");
    refused(&["--renew", "0s"], "nothing but renewals");
    let output = run(&mut callbox(&["load"]));
    assert!(output.stderr.contains("--password"), "{}", output.stderr);
}

#[test]
fn wrong_credentials_end_the_load() {
    let server = Server::start();
    let at = server.turn();
    let output = run(&mut callbox(&["load", "--server", at, "--password", "wrong"]));
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("401"), "{}", output.stderr);
}

/// The memory of six thousand clients is freed once they are gone: the allocator keeps pages for
/// ten seconds.
#[test]
fn memory_is_freed_after_the_last_client() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let server = Server::with(&["--max-allocations-per-user", "6000"]);
    let report = load(&server, &["--clients", "6000", "--client-ip", "127.0.0.2"]);
    let bytes = |name: &str| report[name].as_f64().unwrap();
    assert!(bytes("memoryPerAllocation") < 3000.0, "{report}");
    assert!(bytes("memoryPerAllocationWithChannel") < 4000.0, "{report}");
    let before = bytes("memoryBefore") as u64;
    server.wait_for_memory(before + before / 10, PATIENCE);
}
