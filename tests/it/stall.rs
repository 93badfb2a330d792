//! A server that was suspended counts the datagrams that overflowed its socket buffers.
#![cfg(target_os = "linux")]

use std::{net::UdpSocket, process::Command, time::Instant};

use crate::common::{DEADLINE, Server};

/// More than the largest receive buffer holds: a datagram takes at least 512 bytes of it.
const DATAGRAMS: usize = 100_000;

#[test]
fn datagrams_lost_to_a_full_buffer_are_counted() {
    let server = Server::with(&["--workers", "1"]);
    let drops = |reason: &str| {
        server.metric(&format!("callbox_drops_total{{reason=\"{reason}\"}}")) as usize
    };
    let signal = |name: &str| {
        let pid = server.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.turn()).unwrap();
    let mut sent = 0;
    let mut send = || {
        socket.send(b"\xff is no message of TURN").unwrap();
        sent += 1;
        sent
    };
    signal("-STOP");
    for _ in 0..DATAGRAMS {
        send();
    }
    signal("-CONT");
    let until = Instant::now() + DEADLINE;
    loop {
        // The next datagram reports the losses before it.
        let sent = send();
        let (lost, taken) = (drops("receive_buffer_full"), drops("foreign"));
        if lost > 0 && lost + taken == sent {
            break;
        }
        assert!(Instant::now() < until, "{lost} lost and {taken} taken of {sent}");
    }
}
