//! The conformance suite against callbox, which passes it, and against servers that are wrong,
//! which do not: a suite that cannot fail says nothing.

mod common;
mod wrong_server;

use std::{collections::HashSet, net::UdpSocket, thread};

use common::{Output, Server, callbox, run};
use serde_json::Value;
use wrong_server::Wrong;

/// What a server may lack, and callbox does: every case of it is skipped.
const OPTIONAL: [&str; 9] = [
    "features/",
    "allocate/both-families",
    "allocate/additional-ipv4",
    "allocate/family-twice",
    "allocate/dont-fragment",
    "ports/token-and-second-family",
    "ports/reserve-and-second-family",
    "indication/dont-fragment",
    "indication/icmp",
];

/// What is tried with IPv4 addresses.
const V4_ONLY: [&str; 4] =
    ["permission/forbidden", "permission/other-address", "permission/several", "channel/forbidden"];

/// Callbox binds channels that RFC 5766 has and RFC 8656 has not, and says why in its decision 1.
const DELIBERATE: [&str; 1] = ["channel/reserved-range"];

fn check(server: &str, args: &[&str]) -> Output {
    run(callbox(&["check", "--conformance", server, "--json"]).args(args))
}

fn cases(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|_| panic!("no report: {}{}", output.stdout, output.stderr));
    report["cases"].as_array().expect("there are cases").clone()
}

/// The names of the cases that came out so.
fn names(cases: &[Value], status: &str) -> Vec<String> {
    let fits = cases.iter().filter(|case| case["status"] == status);
    fits.map(|case| case["name"].as_str().expect("it has a name").to_owned()).collect()
}

fn callbox_server() -> Server {
    Server::with(&["--listen", "[::1]:0", "--user", "alice:north", "--user", "bob:south"])
}

const USERS: [&str; 4] = ["--user", "alice:north", "--user", "bob:south"];

/// Where the server is reached without TLS: the address and the transport.
fn ways(server: &Server) -> Vec<(String, String)> {
    let uris = server.ready["turn"].as_array().expect("there are URIs").iter();
    let way = |uri: &Value| {
        let (at, transport) = uri.as_str()?.strip_prefix("turn:")?.split_once("?transport=")?;
        Some((at.to_owned(), transport.to_owned()))
    };
    uris.filter_map(way).collect()
}

#[test]
fn callbox_passes_every_case_on_every_way() {
    let server = callbox_server();
    let ways = ways(&server);
    assert!(ways.iter().any(|(at, transport)| at.starts_with("[::1]") && transport == "udp"));
    for (at, transport) in ways {
        let output = check(&at, &[&USERS[..], &["--transport", &transport]].concat());
        let cases = cases(&output);
        assert_eq!(output.status, 0, "{at} {transport}: {:#?}", failed(&cases));
        assert!(cases.len() > 130, "only {} cases", cases.len());
        for skipped in names(&cases, "skipped") {
            let known = |name: &&str| skipped.starts_with(*name);
            let v4_only = at.starts_with('[') && V4_ONLY.contains(&&*skipped);
            let fine = v4_only || OPTIONAL.iter().chain(&DELIBERATE).any(known);
            assert!(fine, "{at} {transport}: {skipped}");
        }
    }
    // Each case gave back what it was given.
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}

#[test]
fn a_secret_makes_two_users() {
    let server = callbox_server();
    let secret = format!("--auth-secret={}", server.text("/dev/authSecret"));
    let output = check(server.turn(), &[&secret, "--only", "auth/"]);
    let cases = cases(&output);
    assert_eq!(names(&cases, "ok").len(), cases.len(), "{cases:#?}");
    assert!(names(&cases, "ok").contains(&"auth/other-user".into()));
}

fn failed(cases: &[Value]) -> Vec<&Value> {
    cases.iter().filter(|case| case["status"] == "failed").collect()
}

#[test]
fn without_credentials_it_is_stun_that_is_checked() {
    let server = callbox_server();
    let output = check(server.turn(), &[]);
    let cases = cases(&output);
    assert_eq!(output.status, 0);
    assert_eq!(names(&cases, "ok").len(), 17);
    assert!(names(&cases, "skipped").iter().all(|name| !name.starts_with("stun/")));
}

#[test]
fn one_line_a_case_with_its_section_and_what_came() {
    let server = callbox_server();
    let only = ["--only", "stun/", "--only", "channel/bind"];
    let output = run(callbox(&["check", "--conformance", server.turn()]).args(only));
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 8 + 1 + 2, "{}", output.stdout);
    assert_eq!(lines[0], "ok      stun/binding                      RFC 8489 §6.3.1.1");
    assert!(lines[8].starts_with("skipped channel/bind "), "{}", lines[8]);
    assert_eq!(lines[10], "8 ok, 0 failed, 1 skipped");

    let wrong = wrong_server::start(Wrong::No).to_string();
    let output = run(callbox(&["check", "--conformance", &wrong]).args(["--only", "stun/binding"]));
    assert_eq!(output.status, 1);
    let line = "FAILED  stun/binding                      RFC 8489 §6.3.1.1   \
                expected a success response; came Binding error 500 (No)";
    assert_eq!(output.stdout.lines().next(), Some(line));
}

/// The names of the cases that a wrong server fails, and all that were run.
fn failed_by(wrong: Wrong, args: &[&str]) -> (HashSet<String>, Vec<Value>) {
    let server = match args.contains(&"tcp") {
        true => wrong_server::start_tcp(wrong).to_string(),
        false => wrong_server::start(wrong).to_string(),
    };
    let quick = ["--timeout", "500ms", "--silence", "50ms"];
    let output = check(&server, &[&USERS, &quick, args].concat());
    assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);
    let cases = cases(&output);
    (names(&cases, "failed").into_iter().collect(), cases)
}

#[test]
fn each_case_is_failed_by_a_server_that_is_wrong() {
    let (yes, all) = failed_by(Wrong::Yes, &[]);
    // These are about what must not work, so a server that says yes to everything fails each.
    for name in [
        "stun/unknown-required",
        "tolerance/garbage",
        "auth/wrong-password",
        "auth/bad-nonce",
        "integrity/success-signed",
        "features/bid-down",
        "allocate/second",
        "lifetime/default",
        "ports/even",
        "refresh/deleted",
        "permission/none-from-peer",
        "permission/none-to-peer",
        "indication/send",
        "indication/data",
        "channel/unbound",
        "channel/number-is-bound",
        "data/channel-to-peer",
    ] {
        assert!(yes.contains(name), "{name}");
    }
    let (no, _) = failed_by(Wrong::No, &[]);
    let (no_nonce, _) = failed_by(Wrong::NoNonce, &["--only", "auth/challenge"]);
    let (no_cookie, _) = failed_by(Wrong::NoCookie, &["--only", "features/cookie"]);
    let unnoticed = all.iter().filter_map(|case| case["name"].as_str()).filter(|name| {
        ![&yes, &no, &no_nonce, &no_cookie].iter().any(|names| names.contains(*name))
    });
    assert_eq!(unnoticed.collect::<Vec<_>>(), Vec::<&str>::new());

    let streams = ["--transport", "tcp", "--only", "framing/"];
    let (failed, all) = failed_by(Wrong::Yes, &streams);
    assert_eq!(failed.len(), all.len(), "{all:#?}");
}

#[test]
fn what_cannot_be_checked_is_said_and_not_counted() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let output = check(&at, &["--timeout", "200ms"]);
    assert_eq!((output.status, &*output.stdout), (1, ""));
    let expected = format!("callbox: {at} answers neither Binding nor Allocate over udp: nothing");
    assert_eq!(output.stderr.trim_end(), expected);

    // What only sends back is no server.
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = silent.recv_from(&mut buffer) {
            let _ = silent.send_to(&buffer[..len], from);
        }
    });
    let output = check(&at, &["--timeout", "200ms"]);
    assert!(output.stderr.contains("Allocate request, which is no answer"), "{}", output.stderr);

    let server = callbox_server();
    let output = check(server.turn(), &["--user", "alice:south"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("answers a signed Allocate with 401"), "{}", output.stderr);
    let output = check(server.turn(), &["--only", "no/such-case"]);
    assert!(output.stderr.contains("no case has such a name"), "{}", output.stderr);
    for args in [&["--user", "alice:north"][..], &["--conformance", "nowhere"]] {
        let output = run(callbox(&["check"]).args(args));
        assert_ne!(output.status, 0);
        assert!(output.stderr.contains("--conformance"), "{}", output.stderr);
    }
}
