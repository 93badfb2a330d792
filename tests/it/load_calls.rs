//! `callbox load --calls` against `callbox serve`: calls over both fronts, and the memory of a
//! session.

use serde_json::Value;

use crate::common::{Output, Server, callbox, run};

/// Runs a load against a server with these arguments.
fn load(server: &Server, url: &str, args: &[&str]) -> Output {
    let pid = server.pid().to_string();
    let mut command = callbox(&["load", "--calls", url, "--pid", &pid, "--json"]);
    // As an argument, a secret that begins with a dash would be parsed as an option.
    run(command.env("CALLBOX_JWT_SECRET", server.text("/dev/jwtSecret")).args(args))
}

fn report(server: &Server, url: &str, args: &[&str]) -> Value {
    let output = load(server, url, args);
    assert_eq!(output.status, 0, "{url} {args:?}: {}{}", output.stdout, output.stderr);
    serde_json::from_str(&output.stdout).expect("one JSON object")
}

#[test]
fn calls_are_made_and_timed_over_both_fronts() {
    let server = Server::start();
    for front in ["/websocket", "/socketIo"] {
        let args = ["--pairs", "5", "--rate", "30", "--duration", "1s"];
        let report = report(&server, server.text(front), &args);
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert_eq!(number("/calls"), 30.0);
        assert_eq!(number("/completed"), 30.0, "{front}: {report}");
        assert_eq!((number("/failed"), number("/unfinished")), (0.0, 0.0), "{front}: {report}");
        for (step, count) in [
            ("initiateToIncoming", 30.0),
            ("acceptToAccepted", 30.0),
            ("candidate", 8.0 * 30.0),
            ("offer", 30.0),
            ("answer", 30.0),
            ("endToEnded", 30.0),
            ("call", 30.0),
        ] {
            let of = |what: &str| number(&format!("/latencyUs/{step}/{what}"));
            assert_eq!(of("count"), count, "{front} {step}: {report}");
            let ordered = 0.0 < of("median") && of("median") <= of("p99");
            assert!(ordered && of("median") <= of("max"), "{front} {step}: {report}");
        }
        assert!(number("/cpuUsPerCall") > 0.0 && number("/cpuPercentOfCore") > 0.0, "{report}");
        // Both sides of the last call have closed their sessions.
        server.wait_for_metric("callbox_sessions", |open| open == 0.0);
    }
    assert_eq!(server.metric(r#"callbox_calls_ended_total{reason="hangup"}"#), 60.0);
}

#[test]
fn calls_that_the_server_refuses_are_counted_by_its_reason() {
    let server = Server::with(&["--calls-per-minute", "1", "--call-burst", "1"]);
    for front in ["/websocket", "/socketIo"] {
        let args = ["--pairs", "1", "--rate", "8", "--duration", "500ms"];
        let report = report(&server, server.text(front), &args);
        // The first call of each of the two succeeds. A refused client retries as a new user.
        let number = |name: &str| report[name].as_u64().unwrap();
        assert!(number("completed") >= 2 && number("failed") >= 1, "{report}");
        assert_eq!(number("completed") + number("failed"), 4, "{report}");
        assert_eq!(report["errors"]["rate_limited"], report["failed"], "{report}");
    }
}

/// The memory of 2,000 idle sessions, with the one-time allocations of a first connection; and that
/// it is freed afterwards.
#[test]
fn an_idle_session_takes_few_kilobytes() {
    let server = Server::start();
    let args = ["--idle", "2000", "--duration", "100ms"];
    let report = report(&server, server.text("/websocket"), &args);
    let bytes = report["memoryPerSession"].as_f64().unwrap();
    assert!((1000.0..12_000.0).contains(&bytes), "{report}");
    server.wait_for_metric("callbox_sessions", |open| open == 0.0);
}

#[test]
fn impossible_options_are_refused_with_a_reason() {
    let refused = |args: &[&str], reason: &str| {
        let output = run(callbox(&["load"]).env("CALLBOX_JWT_SECRET", "x".repeat(32)).args(args));
        assert_ne!(output.status, 0);
        assert!(output.stderr.contains(reason), "{args:?}: {}", output.stderr);
    };
    refused(&["--calls", "127.0.0.1:80"], "expected ws://HOST:PORT/ws or http://HOST:PORT");
    refused(&["--calls", "https://example.com"], "TLS is not spoken here");
    let calls = ["--calls", "ws://127.0.0.1:1/ws"];
    let with = |more: &[&'static str]| [&calls[..], more].concat();
    refused(&with(&["--path", "up"]), "cannot be used with");
    refused(&with(&["--idle", "3"]), "--pid");
    refused(&["--pairs", "3"], "--calls");
    refused(&with(&["--pairs", "0"]), "--pairs 0");
    refused(&with(&["--rate", "0"]), "--rate 0");
    refused(&with(&["--pairs", "1"]), "client 0 cannot sign in at ws://127.0.0.1:1/ws");
    let output = run(&mut callbox(&["load", "--calls", "ws://127.0.0.1:1/ws"]));
    assert!(output.stderr.contains("--jwt-secret"), "{}", output.stderr);
}

#[test]
fn a_wrong_secret_ends_the_load() {
    let server = Server::start();
    for front in ["/websocket", "/socketIo"] {
        let mut command = callbox(&["load", "--calls", server.text(front), "--pairs", "1"]);
        let output = run(command.env("CALLBOX_JWT_SECRET", "not-the-one-that-the-server-has"));
        assert_eq!(output.status, 1);
        assert!(output.stderr.contains("unauthorized"), "{}", output.stderr);
    }
}
