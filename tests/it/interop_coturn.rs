//! coturn's own client against the relay: `turnutils_uclient` and `turnutils_stunclient`, from
//! Debian's package `coturn`.

use std::process::Command;

use crate::support::*;

fn uclient(server: &Server, v6: bool, args: &[&str]) {
    crate::coturn_tools::uclient(server.address(v6), args);
}

const STATIC: [&str; 4] = ["-u", USER, "-w", PASSWORD];
const REST: [&str; 4] = ["-u", "alice", "-W", SECRET];

#[test]
fn channels_and_send_indications_to_a_peer() {
    let server = start(2, |_| {});
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    let port = echo.address.port().to_string();
    // Without RTCP (`-c`), since there is one port to echo. Client to client it is on, with its
    // EVEN-PORT and its reservations.
    let peer = ["-c", "-e", "127.0.0.1", "-r", &port];
    for who in [&STATIC, &REST] {
        for how in [&[][..], &["-s"]] {
            uclient(&server, false, &[&who[..], &peer, how].concat());
        }
    }
}

#[test]
fn client_to_client() {
    // A reserved port is not bound before it is redeemed. These ports are neither those of other
    // servers under test nor those that the system chooses for clients.
    let server = start(2, |config| config.relay_ports = 20_000..=29_999);
    for who in [&STATIC, &REST] {
        for how in [&[][..], &["-s"]] {
            uclient(&server, false, &[&who[..], &["-y"], how].concat());
        }
    }
}

#[test]
fn over_ipv6() {
    let server = start(2, |_| {});
    let echo = Echo::start("::1".parse().unwrap());
    let port = echo.address.port().to_string();
    for how in [&[][..], &["-s"]] {
        uclient(&server, true, &[&REST[..], &["-c", "-x", "-e", "::1", "-r", &port], how].concat());
        uclient(&server, true, &[&STATIC[..], &["-x", "-y"], how].concat());
    }
}

/// coturn's client makes access tokens with test keys of its own (RFC 7635).
#[test]
fn access_tokens_open_the_relay() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let keys = [
        ("north", "01234567890123456789012345678901"),
        ("union", "1234567890123456"),
        ("oldempire", "12345678901234567890123456789012"),
    ];
    let keys = keys.map(|(kid, key)| format!("{kid}:{}", BASE64_STANDARD.encode(key)));
    let keys = keys.iter().map(|key| key.parse().unwrap()).collect();
    let server = start_with_tokens(1, keys);
    // It selects one of its keys at random for each request.
    for _ in 0..2 {
        uclient(&server, false, &["-J", "-y"]);
    }
}

/// Each client has an address of each family (`-Z`); the peers are the other clients, by both.
#[test]
fn dual_allocations() {
    let server = start(2, |_| {});
    for who in [&STATIC, &REST] {
        for how in [&[][..], &["-s"]] {
            uclient(&server, false, &[&who[..], &["-Z", "-y"], how].concat());
        }
    }
    let metrics = server.relay.metrics();
    assert!(metrics.allocations_opened > 0 && metrics.allocations_opened % 2 == 0);
    // It sometimes refreshes one family only.
    assert!(metrics.requests.contains(&("Refresh", "443", 0)), "{metrics:?}");
}

/// DONT-FRAGMENT in every Send indication (`-g`), and in the Allocate.
#[test]
fn unfragmented() {
    let server = start(2, |_| {});
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    let port = echo.address.port().to_string();
    let args = ["-g", "-s", "-c", "-e", "127.0.0.1", "-r", &port];
    uclient(&server, false, &[&STATIC[..], &args].concat());
}

#[test]
fn coturn_s_client_is_refused_with_wrong_credentials() {
    let server = start(1, |_| {});
    let port = server.address(false).port().to_string();
    let out = Command::new("timeout")
        .args(["10", "turnutils_uclient", "-y", "-n", "1", "-p", &port])
        .args(["-u", USER, "-w", "wrong", "127.0.0.1"])
        .output()
        .unwrap();
    assert!(!out.status.success());
    assert_eq!(server.relay.metrics().allocations_opened, 0);
}

#[test]
fn the_stun_client_gets_its_address() {
    let server = start(1, |_| {});
    for v6 in [false, true] {
        let text = crate::coturn_tools::run("turnutils_stunclient", server.address(v6), &[]);
        let expected =
            if v6 { "UDP reflexive addr: ::1:" } else { "UDP reflexive addr: 127.0.0.1:" };
        assert!(text.contains(expected), "{text}");
    }
}

/// Each client changes its address once it has its allocation (`-M`).
#[test]
fn mobile_clients() {
    let server = start(2, |config| config.mobility = true);
    uclient(&server, false, &[&STATIC[..], &["-M", "-y"]].concat());
    uclient(&server, false, &[&REST[..], &["-M", "-y", "-s"]].concat());
}
