//! The conformance suite against callbox, which passes it, and against wrong servers, which fail
//! it: a suite that cannot fail proves nothing.

use std::{collections::HashSet, fs, net::UdpSocket, thread};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    common::{Output, Server, callbox, run},
    wrong_server::Wrong,
};

/// Optional features that callbox lacks by default; all their cases are skipped.
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

/// The cases that need IPv4 addresses.
const V4_ONLY: [&str; 5] = [
    "permission/forbidden",
    "permission/other-address",
    "permission/several",
    "channel/forbidden",
    "tcp/connect-forbidden",
];

/// Callbox binds channels that RFC 5766 permits and RFC 8656 reserves; its decision 1 gives the
/// reason.
const DELIBERATE: [&str; 1] = ["channel/reserved-range"];

fn check(server: &str, args: &[&str]) -> Output {
    run(callbox(&["check", "--conformance", server, "--json"]).args(args))
}

fn cases(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|_| panic!("no report: {}{}", output.stdout, output.stderr));
    report["cases"].as_array().expect("there are cases").clone()
}

/// Returns the names of the cases with this result.
fn names(cases: &[Value], status: &str) -> Vec<String> {
    let fits = cases.iter().filter(|case| case["status"] == status);
    fits.map(|case| case["name"].as_str().expect("it has a name").to_owned()).collect()
}

fn callbox_server() -> Server {
    Server::with(&["--listen", "[::1]:0", "--user", "alice:north", "--user", "bob:south"])
}

const USERS: [&str; 4] = ["--user", "alice:north", "--user", "bob:south"];

/// An access token key: its name and 32 bytes in base64.
const OAUTH_KEY: &str = "north:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A server with every optional feature, and its certificate.
struct Complete {
    server: Server,
    dir: TempDir,
}

impl Complete {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".into(), "::1".into()]).unwrap();
        fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (certificate, key) = (path("cert.pem"), path("key.pem"));
        let tls = ["--tls-cert", &certificate, "--tls-key", &key];
        let more = ["--listen", "[::1]:0", "--alternate-ip", "127.0.0.2", "--oauth-key", OAUTH_KEY];
        // Outside of the range that the system assigns to clients and peers.
        let ports = ["--relay-ports", "61000-65535"];
        let options = [&tls[..], &more, &ports, &USERS].concat();
        // The second address needs a port whose successor is free as well.
        let server = (0..20).find_map(|_| Server::try_with(&options).ok()).expect("it starts");
        Self { server, dir }
    }

    fn certificate(&self) -> String {
        self.dir.path().join("cert.pem").to_str().unwrap().to_owned()
    }

    /// Returns the addresses and transports by which it is reached.
    fn endpoints(&self) -> Vec<(String, String)> {
        let uris = self.server.ready["turn"].as_array().expect("there are URIs").iter();
        let way = |uri: &Value| {
            let (scheme, rest) = uri.as_str()?.split_once(':')?;
            let (at, transport) = rest.split_once("?transport=")?;
            let transport = if scheme == "turns" { "tls" } else { transport };
            Some((at.to_owned(), transport.to_owned()))
        };
        uris.filter_map(way).collect()
    }
}

#[test]
fn callbox_passes_every_case_over_every_transport() {
    let complete = Complete::start();
    let (endpoints, certificate) = (complete.endpoints(), complete.certificate());
    let has = |at: &str, over: &str| endpoints.iter().any(|(a, o)| a.starts_with(at) && o == over);
    for over in ["udp", "tcp", "tls"] {
        assert!(has("127.0.0.1:", over) && has("[::1]:", over), "{over}: {endpoints:?}");
    }
    thread::scope(|scope| {
        for (at, transport) in &endpoints {
            scope.spawn(|| passes_every_case(at, transport, &certificate));
        }
    });
    // Each case has released its allocations.
    complete.server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}

fn passes_every_case(at: &str, transport: &str, certificate: &str) {
    let more = ["--transport", transport, "--ca-cert", certificate, "--oauth-key", OAUTH_KEY];
    let output = check(at, &[&USERS[..], &more].concat());
    let cases = cases(&output);
    assert_eq!(output.status, 0, "{at} {transport}: {:#?}", failed(&cases));
    assert!(cases.len() > 160, "only {} cases", cases.len());
    let v6 = at.starts_with('[');
    for skipped in names(&cases, "skipped") {
        let known = |name: &&str| skipped.starts_with(*name);
        // Its second address is IPv4.
        let discovery = match transport {
            "udp" if v6 => skipped.starts_with("discovery/"),
            "udp" => skipped == "discovery/not-offered",
            _ => false,
        };
        let v4_only = v6 && V4_ONLY.contains(&&*skipped);
        let fine = discovery || v4_only || OPTIONAL.iter().chain(&DELIBERATE).any(known);
        assert!(fine, "{at} {transport}: {skipped}");
    }
}

#[test]
fn over_tls_the_certificate_must_be_trusted() {
    let complete = Complete::start();
    let (at, _) =
        complete.endpoints().into_iter().find(|(_, over)| over == "tls").expect("there is TLS");
    let certificate = complete.certificate();
    let only = ["--transport", "tls", "--only", "stun/binding"];
    let trusting = |more: &[&str]| check(&at, &[&only[..], more].concat());
    assert_eq!(trusting(&["--ca-cert", &certificate]).status, 0);
    let nobody = trusting(&[]);
    assert_eq!(nobody.status, 1);
    assert!(nobody.stderr.contains("UnknownIssuer (see --ca-cert)"), "{}", nobody.stderr);
    let other = at.replace("127.0.0.1", "localhost");
    let output = check(&other, &[&only[..], &["--ca-cert", &certificate]].concat());
    assert!(output.stderr.contains("not valid for name"), "{}", output.stderr);
    let nowhere = trusting(&["--ca-cert", "/nowhere"]);
    assert!(nowhere.stderr.contains("--ca-cert /nowhere: No such file"), "{}", nowhere.stderr);
}

#[test]
fn a_shared_secret_gives_two_users() {
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
fn without_credentials_only_stun_is_checked() {
    let server = callbox_server();
    let output = check(server.turn(), &[]);
    let cases = cases(&output);
    assert_eq!(output.status, 0);
    assert_eq!(names(&cases, "ok").len(), 17 + 1);
    assert!(names(&cases, "skipped").iter().all(|name| !name.starts_with("stun/")));
}

#[test]
fn each_case_is_one_line_with_its_section_and_result() {
    let server = callbox_server();
    let only = ["--only", "stun/", "--only", "channel/bind"];
    let output = run(callbox(&["check", "--conformance", server.turn()]).args(only));
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 8 + 1 + 2, "{}", output.stdout);
    assert_eq!(lines[0], "ok      stun/binding                      RFC 8489 §6.3.1.1");
    assert!(lines[8].starts_with("skipped channel/bind "), "{}", lines[8]);
    assert_eq!(lines[10], "8 ok, 0 failed, 1 skipped");

    let wrong = crate::wrong_server::start(Wrong::No).to_string();
    let output = run(callbox(&["check", "--conformance", &wrong]).args(["--only", "stun/binding"]));
    assert_eq!(output.status, 1);
    let line = "FAILED  stun/binding                      RFC 8489 §6.3.1.1   \
                expected a success response; came Binding error 500 (No)";
    assert_eq!(output.stdout.lines().next(), Some(line));
}

/// Returns the names of the cases that a wrong server fails, and all cases that were run.
fn failed_by(wrong: Wrong, args: &[&str]) -> (HashSet<String>, Vec<Value>) {
    let server = match args.contains(&"tcp") {
        true => crate::wrong_server::start_tcp(wrong).to_string(),
        false => crate::wrong_server::start(wrong).to_string(),
    };
    let quick = ["--timeout", "500ms", "--silence", "50ms"];
    let output = check(&server, &[&USERS, &quick, args].concat());
    assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);
    let cases = cases(&output);
    (names(&cases, "failed").into_iter().collect(), cases)
}

#[test]
fn each_case_is_failed_by_a_wrong_server() {
    let key = ["--oauth-key", OAUTH_KEY];
    let (yes, mut all) = failed_by(Wrong::Yes, &key);
    // These cases check refusals, so a server that accepts everything fails each.
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
        "tcp/allocate-over-udp",
        "tokens/garbage",
        "tokens/expired",
    ] {
        assert!(yes.contains(name), "{name}");
    }
    let (no, _) = failed_by(Wrong::No, &key);
    let (no_nonce, _) =
        failed_by(Wrong::NoNonce, &["--only", "auth/challenge", "--only", "discovery/not-offered"]);
    let (no_cookie, _) =
        failed_by(Wrong::NoCookie, &["--only", "features/cookie", "--only", "tokens/challenge"]);
    let (long, _) = failed_by(Wrong::Long, &[&key[..], &["--only", "tokens/"]].concat());
    assert!(long.contains("tokens/lifetime") && !yes.contains("tokens/lifetime"));
    let (other, discovery) = failed_by(Wrong::Other, &["--only", "discovery/"]);
    assert_eq!(other.len(), discovery.len() - 1, "all but not-offered: {discovery:#?}");

    let over_tcp = ["--transport", "tcp"];
    let streams = ["--only", "framing/", "--only", "tcp/", "--only", "discovery/over-streams"];
    let (yes_tcp, streams) = failed_by(Wrong::Yes, &[&over_tcp[..], &streams].concat());
    // Everything that it relays over TCP is wrong; but it does give an address, and denies no peer.
    let passed = ["tcp/allocate", "tcp/connect-forbidden"];
    assert_eq!(yes_tcp.len(), streams.len() - passed.len(), "{streams:#?}");
    let rest = ["--only", passed[0], "--only", passed[1]];
    let (no_tcp, _) = failed_by(Wrong::No, &[&over_tcp[..], &rest].concat());
    all.extend(streams);

    let failures = [yes, no, no_nonce, no_cookie, long, other, yes_tcp, no_tcp];
    let names = all.iter().filter_map(|case| case["name"].as_str());
    let unnoticed = names.filter(|name| !failures.iter().any(|failed| failed.contains(*name)));
    assert_eq!(unnoticed.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn cases_that_cannot_run_are_reported_and_not_counted() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let output = check(&at, &["--timeout", "200ms"]);
    assert_eq!((output.status, &*output.stdout), (1, ""));
    let expected = format!("callbox: {at} answers neither Binding nor Allocate over udp: nothing");
    assert_eq!(output.stderr.trim_end(), expected);

    // An echo is no server.
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
