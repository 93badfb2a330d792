//! The log lines about the relay's clients that `docs/logs.md` documents.

use std::net::UdpSocket;

use callbox_client::channel_data;

use crate::{
    common::{DEADLINE, Server, fail2ban_filter},
    support::plain_client::PlainClient,
};

fn start(more: &[&str]) -> Server {
    let base = ["--realm", crate::support::REALM, "--user", "static:pass", "--workers", "1"];
    Server::with(&[&base[..], more].concat())
}

/// Stops a server, and returns the lines of its log that contain `with`, without their times.
fn lines(server: Server, with: &str) -> Vec<String> {
    server.terminate();
    let (_, log) = server.wait();
    let undated = |line: &str| line.split_once(' ').map(|(_, rest)| rest.trim_start().to_owned());
    log.lines().filter(|line| line.contains(with)).filter_map(undated).collect()
}

#[test]
fn an_allocation_s_end_is_a_line_at_debug() {
    let server = start(&["--log-level", "debug"]);
    let client = PlainClient::allocate(server.turn().parse().unwrap());
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.socket.send(&channel_data(0x4000, b"three")).unwrap();
    peer.recv(&mut [0; 10]).unwrap();
    peer.send_to(b"seven!!", client.relayed).unwrap();
    client.receive();
    let (at, relayed) = (client.socket.local_addr().unwrap(), client.relayed);
    let lines = lines(server, "an allocation has ended");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let who = format!(r#"user="static" client={at} over="udp" relayed={relayed} seconds="#);
    let start = format!("DEBUG callbox::relay::log_lines: an allocation has ended {who}");
    assert!(line.starts_with(&start), "{line}");
    assert!(line.ends_with(" bytes_up=5 bytes_down=7 reason=stopped"), "{line}");
}

#[test]
fn refused_credentials_are_logged_and_cannot_forge_lines() {
    let server = start(&[]);
    let at = server.turn().parse().unwrap();
    // A user name can neither add a line nor imitate one.
    let name = "x\n WARN: TURN credentials refused address=192.0.2.1 \"";
    for user in ["static", name] {
        let refused = PlainClient::try_allocate_as(at, crate::support::REALM, user, "guess");
        assert_eq!(refused.err(), Some(401));
    }
    let lines = lines(server, "TURN credentials refused");
    let [first, second] = &lines[..] else { panic!("{lines:?}") };
    for line in [first, second] {
        assert_eq!(&fail2ban_filter().captures(line).expect(line)["host"], "127.0.0.1");
    }
    let start = "WARN callbox::relay::log_lines: TURN credentials refused address=127.0.0.1 ";
    assert_eq!(first, &format!(r#"{start}user="static" reason="the password is wrong""#));
    assert!(second.starts_with(&format!(r#"{start}user="x\n WARN: "#)), "{second}");
    assert!(second.ends_with(r#"192.0.2.1 \"" reason="there is no such user""#), "{second}");
}

#[test]
fn a_flood_of_wrong_credentials_is_a_few_lines() {
    let server = start(&[]);
    let at = server.turn().parse().unwrap();
    for _ in 0..40 {
        let _ = PlainClient::try_allocate_as(at, crate::support::REALM, "static", "guess");
    }
    assert_eq!(lines(server, "TURN credentials refused").len(), 10);
}
