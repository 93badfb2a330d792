//! Requests over UDP with forged source addresses: they exhaust only the limits of unauthenticated
//! requests over UDP, and no limit of a client with a proven address.

use std::{
    net::{TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    common::{DEADLINE, Server},
    support::plain_client::{Framed, PlainClient},
};

const HELD_BACK: &str = "callbox_drops_total{reason=\"reply_limit\"}";

/// Returns an Allocate that consists of the header, with transaction `n`.
fn bare_allocate(n: u64) -> Vec<u8> {
    const HEAD: [u8; 12] = [0, 3, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0];
    [&HEAD[..], &n.to_be_bytes()[..]].concat()
}

/// Ends the flood, also when a client's assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn forged_datagrams_do_not_exhaust_the_replies_of_tcp_clients() {
    let server = Server::with(&[
        "--realm",
        crate::support::REALM,
        "--user",
        "static:pass",
        "--max-unauthenticated-replies",
        "20",
    ]);
    let (stop, at) = (AtomicBool::new(false), server.turn().to_owned());
    thread::scope(|scope| {
        let (stop, at) = (&stop, &at);
        scope.spawn(move || {
            // The source address is that of the clients.
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                socket.send_to(&bare_allocate(n), at).unwrap();
                if n % 10 == 0 {
                    thread::yield_now();
                }
            }
        });
        let _stop = Stop(stop);
        server.wait_for_metric(HELD_BACK, |dropped| dropped > 1000.0);
        // Twelve challenges, of the twenty that a proven address gets each second.
        for _ in 0..12 {
            let stream = TcpStream::connect(server.turn()).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            drop(PlainClient::allocate_over(Framed::new(stream)));
        }
    });
    // A challenge is no larger than necessary: the header, the error, the realm, the nonce and the
    // algorithms.
    let challenged = UdpSocket::bind("127.0.0.2:0").unwrap();
    challenged.set_read_timeout(Some(DEADLINE)).unwrap();
    challenged.send_to(&bare_allocate(1), server.turn()).unwrap();
    assert_eq!(challenged.recv(&mut [0; 200]).unwrap(), 20 + 8 + (4 + 4) + (4 + 28) + (4 + 8));
}
