//! Programs on the sides of a lab.

use std::time::{Duration, Instant};

use super::natlab;
use crate::common::run;

#[test]
fn each_program_finds_its_side_and_the_server() {
    let script = "echo $NATLAB_SIDE sees $NATLAB_PEER; echo $NATLAB_STUN $NATLAB_STUN_OTHER; \
                  echo ${NATLAB_TURN%%,*} ${NATLAB_TOKEN:+token} ${NATLAB_TURN_PASSWORD:+password}; \
                  head -1 $NATLAB_CA; echo ${NATLAB_PROXY-no proxy}; echo oops >&2";
    let output = run(&mut natlab(&[
        "run",
        "--a",
        "symmetric",
        "--b",
        "http-proxy",
        "--",
        "sh",
        "-c",
        script,
    ]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    let of = |side: &str| {
        let lines = output.stdout.lines().filter_map(|line| line.strip_prefix(side));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let server = "stun:203.0.113.1:3478 203.0.113.1:3479,203.0.113.2:3478,203.0.113.2:3479";
    let turn = "turn:203.0.113.1:3478?transport=udp token password";
    let certificate = "-----BEGIN CERTIFICATE-----";
    assert_eq!(of("a | "), ["a sees b", server, turn, certificate, "no proxy"]);
    let proxy = "http://192.168.2.1:3128";
    assert_eq!(of("b | "), ["b sees a", server, turn, certificate, proxy]);
    let mut errors: Vec<_> = output.stderr.lines().collect();
    errors.sort();
    assert_eq!(errors, ["a | oops", "b | oops"]);
}

#[test]
fn the_exit_code_is_that_of_the_first_program_that_fails() {
    let args = ["run", "--no-server", "--a", "none", "--b", "none"];
    let fail = ["--on", "a", "sleep 0.2; exit 3", "--on", "b", "kill -9 $$"];
    let output = run(&mut natlab(&[&args[..], &fail].concat()));
    assert_eq!(output.status, 128 + 9);
    assert!(output.stderr.contains("natlab: a has ended with exit code 3"), "{}", output.stderr);
    assert!(output.stderr.contains("natlab: b has ended with signal 9"), "{}", output.stderr);
}

#[test]
fn a_program_that_hangs_is_killed_after_the_timeout() {
    let start = Instant::now();
    let args = ["run", "--no-server", "--a", "none", "--timeout", "300ms"];
    let output = run(&mut natlab(&[&args[..], &["--", "sleep", "1000"]].concat()));
    assert_eq!(output.status, 124);
    assert!(output.stderr.contains("a has not ended in time, and is killed"), "{}", output.stderr);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_program_on_each_side_talks_to_the_other() {
    // Both are in public networks, so that the addresses in their environment are reached.
    let listen = "import os, socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                  s.bind(('', 7000)); print(s.recv(99).decode())";
    let send = "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                while True: s.sendto(b'hello', ('198.51.100.134', 7000)); time.sleep(0.02)";
    let on_a = format!("test $NATLAB_ADDRESS = 198.51.100.134 && python3 -c \"{listen}\"");
    let on_b = format!("timeout 3 python3 -c \"{send}\"; true");
    let output = run(&mut natlab(&[
        "run",
        "--no-server",
        "--a",
        "none",
        "--b",
        "symmetric",
        "--on",
        "a",
        &on_a,
        "--on",
        "b",
        &on_b,
    ]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(output.stdout, "a | hello\n");
}

/// A server elsewhere is a program in the public network, which ends with those on the sides.
#[test]
fn servers_elsewhere_are_in_the_environment_of_all() {
    let uris = "turn:203.0.113.1:3478?transport=udp,turns:[2001:db8::1]:443";
    let show = "echo $NATLAB_STUN $NATLAB_TURN $NATLAB_TURN_USERNAME $NATLAB_TURN_PASSWORD \
                $NATLAB_URL $NATLAB_TOKEN";
    let serve = format!("{show}; sleep 1000");
    let output = run(&mut natlab(&[
        "run",
        "--a",
        "symmetric",
        "--stun",
        "stun:203.0.113.1",
        "--turn",
        uris,
        "--turn-username",
        "lab",
        "--turn-password",
        "secret",
        "--timeout",
        "20s",
        "--on",
        "a",
        // Not before the other one has printed its line.
        &format!("until ls /proc/*/exe -l | grep -q sleep; do :; done; {show}"),
        "--on",
        "internet",
        &serve,
    ]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    let mut lines: Vec<_> = output.stdout.lines().collect();
    lines.sort();
    let line = format!("stun:203.0.113.1 {uris} lab secret");
    assert_eq!(lines, [format!("a | {line}"), format!("internet | {line}")]);
}

/// A server is not told that a private address is unreachable, as in the Internet.
#[test]
fn packets_to_addresses_that_nobody_has_are_lost() {
    let send = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                s.connect(('192.168.77.7', 9))\ns.settimeout(0.3)\n\
                for n in range(3):\n  s.send(b'x')\n  try: s.recv(1)\n  except TimeoutError: pass";
    let send = format!("python3 -c \"{send}\"");
    let args = ["run", "--no-server", "--a", "symmetric", "--b", "none", "--on", "a", &send];
    let output = run(&mut natlab(&[&args[..], &["--on", "b", &send]].concat()));
    assert_eq!((output.status, &*output.stderr), (0, ""));
    let args = ["run", "--no-server", "--a", "none", "--on", "internet", &send];
    let output = run(&mut natlab(&args));
    assert_eq!((output.status, &*output.stderr), (0, ""));
}
