//! The binary from the outside: configuration errors, the ready line, the commands and the end.

use std::{io::Write, net::TcpListener, process::Command};

use serde_json::Value;

use crate::common::{Server, callbox, run};

/// Returns `serve` with secrets, on free ports.
fn serve(options: &[&str]) -> Command {
    let base = ["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    // If the test process is killed, the server ends soon after.
    let lifetime = match options.contains(&"--lifetime") {
        true => &[][..],
        false => &["--lifetime", "5m"],
    };
    callbox(
        &base
            .into_iter()
            .chain(lifetime.iter().copied())
            .chain(options.iter().copied())
            .collect::<Vec<_>>(),
    )
}

const SECRETS: [&str; 4] =
    ["--auth-secret", "north", "--jwt-secret", "a secret of at least thirty-two bytes"];

fn config(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_closed_output_causes_no_panic() {
    let commands: [&[&str]; 2] = [
        &["check-config", "--dev", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
        &["credentials", "--user", "alice", "--auth-secret", "north"],
    ];
    for args in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = callbox(args).stdout(writer).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn a_missing_secret_is_an_error_that_says_how_to_make_one() {
    for (options, what) in
        [(&[][..], "no secret for TURN"), (&["--auth-secret", "x"], "no key for tokens")]
    {
        let output = run(&mut serve(options));
        assert_eq!(output.status, 2);
        assert!(output.stdout.is_empty());
        assert!(output.stderr.starts_with("callbox: "), "{}", output.stderr);
        assert!(output.stderr.contains(what), "{}", output.stderr);
        assert!(output.stderr.contains("openssl rand -base64 32"), "{}", output.stderr);
    }
}

#[test]
fn a_typo_in_the_file_is_named_with_its_line_and_the_nearest_key() {
    let file = config("realm = 'x'\n\nmax-alocations = 5\n");
    let path = file.path().to_str().unwrap();
    let output = run(serve(&["--config", path]).args(SECRETS));
    assert_eq!(output.status, 2);
    let expected = format!(
        "callbox: {path}:3: there is no option `max-alocations`; did you mean `max-allocations`?\n"
    );
    assert_eq!(output.stderr, expected);
}

#[test]
fn a_wrong_value_is_named_in_each_source() {
    let flag = run(serve(&["--ring-timeout", "soon"]).args(SECRETS));
    assert!(
        flag.stderr.contains("'soon'") && flag.stderr.contains("--ring-timeout"),
        "{}",
        flag.stderr
    );
    assert!(flag.stderr.contains("such as 300ms, 45s"), "{}", flag.stderr);
    assert_eq!(flag.status, 2);
    let variable = run(serve(&[]).args(SECRETS).env("CALLBOX_RING_TIMEOUT", "soon"));
    let expected = "callbox: environment variable CALLBOX_RING_TIMEOUT: \"soon\" does not fit: ";
    assert!(variable.stderr.starts_with(expected), "{}", variable.stderr);
    let unknown = run(serve(&["--ring-timout", "5s"]).args(SECRETS));
    assert!(unknown.stderr.contains("--ring-timeout"), "{}", unknown.stderr);
}

#[test]
fn an_address_in_use_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = callbox(&["serve", "--http", &address, "--listen", "127.0.0.1:0"]);
    let output = run(command.args(SECRETS));
    assert_eq!(output.status, 1);
    assert!(
        output.stderr.contains(&format!("cannot listen on {address}/tcp (--http)")),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("choose another port"), "{}", output.stderr);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = callbox(&["serve", "--listen", &address, "--http", "127.0.0.1:0"]);
    let output = run(command.args(SECRETS));
    assert_eq!(output.status, 1);
    assert!(
        output.stderr.contains(&format!("cannot listen on {address}/udp")),
        "{}",
        output.stderr
    );
}

#[test]
fn an_error_says_each_fact_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = callbox(&["serve", "--http", &address, "--listen", "127.0.0.1:0"]);
    let output = run(command.args(SECRETS));
    assert_eq!(output.stderr.matches("os error").count(), 1, "{}", output.stderr);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = callbox(&["serve", "--http", "127.0.0.1:0", "--listen", &address]);
    let output = run(command.args(SECRETS));
    assert_eq!(output.stderr.matches("os error").count(), 1, "{}", output.stderr);
    assert_eq!(output.stderr.matches("/udp").count(), 1, "{}", output.stderr);
    let output = run(&mut serve(&["--config", "/no/such/file"]));
    let expected =
        "callbox: /no/such/file: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(output.stderr, expected);
}

#[test]
fn an_invalid_log_level_and_a_zero_lifetime_are_refused() {
    for (options, expected) in [
        (["--log-level", "banana"], "expected off, error, warn, info, debug or trace"),
        (["--credential-ttl", "0s"], "expected at least 1s"),
    ] {
        let output = run(serve(&options).args(SECRETS));
        assert_eq!(output.status, 2);
        assert!(output.stderr.contains(options[1]), "{}", output.stderr);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}

#[test]
fn suspicious_settings_are_logged() {
    let mut command = serve(&["--ready-json", "--lifetime", "1ms"]);
    let (_, log) = Server::spawn(
        command
            .args(SECRETS)
            .env("CALLBOX_RING_TIMOUT", "5s")
            .env("CALLBOX_SERVICE_HOST", "10.0.0.1")
            .env("CALLBOX_CHECK_TOKEN", "known"),
    )
    .wait();
    assert!(
        log.contains(
            "CALLBOX_RING_TIMOUT: there is no such option; did you mean CALLBOX_RING_TIMEOUT?"
        ),
        "{log}"
    );
    assert!(log.contains("--auth-secret: a secret of 5 bytes"), "{log}");
    assert_eq!(log.matches("WARN").count(), 2, "{log}");
}

#[test]
fn dev_is_limited_to_loopback() {
    let output = run(&mut callbox(&["serve", "--dev", "--http", "0.0.0.0:0"]));
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("--dev serves on loopback only"), "{}", output.stderr);
}

#[test]
fn the_ready_line_has_the_address_of_each_listener() {
    let server = Server::start();
    assert_eq!(server.ready["event"], "ready");
    assert_eq!(server.ready["pid"], server.pid());
    assert_eq!(server.ready["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(server.ready["realm"], "callbox");
    let port = server.authority().strip_prefix("127.0.0.1:").unwrap();
    assert_ne!(port, "0");
    assert_eq!(server.text("/websocket"), format!("ws://127.0.0.1:{port}/ws"));
    assert_eq!(server.text("/socketIo"), format!("http://127.0.0.1:{port}"));
    let stun = server.text("/stun/0").strip_prefix("stun:127.0.0.1:").unwrap();
    assert_eq!(server.text("/turn/0"), format!("turn:127.0.0.1:{stun}?transport=udp"));
    for secret in ["authSecret", "jwtSecret", "apiKey"] {
        assert!(server.text(&format!("/dev/{secret}")).len() >= 32);
    }
    assert_eq!(server.get("/readyz", None).status, 200);
}

#[test]
fn the_ready_line_shows_no_secret_without_dev() {
    let server = Server::spawn(serve(&["--ready-json"]).args(SECRETS));
    assert_eq!(server.ready.get("dev"), None);
    assert_eq!(server.get("/", None).status, 404);
    assert_eq!(server.get("/dev/online", None).status, 404);
    assert_eq!(server.get("/api/v1/calls", Some("")).error(), "unauthorized");
}

#[test]
fn the_server_ends_after_its_lifetime_or_on_a_signal() {
    let server = Server::with(&["--lifetime", "100ms"]);
    let (status, stderr) = server.wait();
    assert!(status.success() && stderr.contains("the lifetime is over"), "{stderr}");
    let server = Server::with(&["--log-format", "json"]);
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success(), "{stderr}");
    for line in stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert!(stderr.contains("SIGTERM"));
}

#[test]
fn the_server_accepts_minted_tokens_and_credentials() {
    let file =
        config("jwt-secret = ['a shared secret of thirty-two bytes!']\nauth-secret = ['north']\n");
    let path = file.path().to_str().unwrap();
    let server = Server::spawn(&mut serve(&["--ready-json", "--config", path]));
    let token = run(&mut callbox(&["token", "--user", "alice", "--config", path]));
    let token = token.stdout.trim();
    let answer = server.get("/api/v1/ice-servers", Some(token));
    assert_eq!(answer.status, 200, "{answer:?}");
    let minted = answer.json()["turnCredentials"].clone();
    assert!(minted["username"].as_str().unwrap().ends_with(":alice"), "{minted}");

    // A fixed secret gives the same password as any other implementation of the scheme.
    let output = run(&mut callbox(&["credentials", "--user", "alice", "--json", "--config", path]));
    let json: Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(json["username"].as_str().unwrap().ends_with(":alice"));
    assert_eq!(json["ttl"], 3600);
    let call = "01J0000000000000000000000A";
    let scoped =
        run(&mut callbox(&["credentials", "--user", "a", "--call", call, "--config", path]));
    assert!(scoped.stdout.contains(&format!(":a:{call}\n")), "{}", scoped.stdout);
    let missing = run(&mut callbox(&["token", "--user", "alice"]));
    assert_eq!(missing.status, 2);
    assert!(missing.stderr.contains("no secret to sign a token with"), "{}", missing.stderr);
}

#[test]
fn a_check_succeeds_and_reports_faults() {
    let server = Server::start();
    let url = server.text("/http");
    let good = run(&mut callbox(&["check", "--url", url, "--json"]));
    let report: Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!((good.status, &report["ok"]), (0, &Value::Bool(true)), "{report:#}");
    let steps: Vec<_> =
        report["steps"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    for step in ["http", "stun", "allocate", "permission", "channel", "round trip", "call ends"] {
        assert!(steps.iter().any(|name| name.starts_with(step)), "{step} is not in {steps:?}");
    }
    let bad = run(&mut callbox(&["check", "--url", url, "--token", "nonsense"]));
    assert_eq!(bad.status, 1);
    assert!(bad.stdout.contains("FAILED") && bad.stdout.contains("hint: "), "{}", bad.stdout);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = run(&mut callbox(&["check", "--url", &format!("http://{closed}")]));
    assert_eq!(gone.status, 1);
    assert!(gone.stdout.contains("cannot connect"), "{}", gone.stdout);
    // The check releases all its allocations.
    server.wait_for_metric("callbox_allocations", |value| value == 0.0);
    server.wait_for_metric("callbox_connections{front=\"websocket\"}", |value| value == 0.0);
}
