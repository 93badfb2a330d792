//! A server without free file descriptors reports it, continues to serve its clients, and accepts
//! new ones once descriptors are free.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use callbox_client::{Request, payload_of};

use crate::{
    common::{DEADLINE, Server},
    support::plain_client::{Framed, PlainClient, Wire},
};

/// Few enough to run out of quickly, and enough to start.
const FILES: u32 = 64;

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

fn start() -> Server {
    let serve = "serve --dev --ready-json --http 127.0.0.1:0 --listen 127.0.0.1:0 --workers 1 \
        --lifetime 5m --user static:pass --realm";
    let (callbox, realm) = (env!("CARGO_BIN_EXE_callbox"), crate::support::REALM);
    let shell = format!("ulimit -n {FILES} && exec {callbox} {serve} {realm}");
    Server::spawn(Command::new("sh").args(["-c", &shell]))
}

/// Opens an allocation; returns the error code if it is refused.
fn allocate(server: &Server) -> Result<PlainClient, u16> {
    let at = server.turn().parse().unwrap();
    PlainClient::try_allocate_as(at, server.text("/realm"), "static", "pass")
}

#[test]
fn without_file_descriptors_an_allocate_is_a_508_and_open_ones_still_relay() {
    let server = start();
    let (mut open, mut refused) = (Vec::new(), None);
    for _ in 0..FILES {
        match allocate(&server) {
            Ok(client) => open.push(client),
            Err(code) => refused = Some(code),
        }
    }
    assert!(open.len() > 10, "only {} allocations", open.len());
    assert_eq!(refused, Some(508), "64 allocations do not fit 64 files");
    // The server still answers, and open allocations still relay.
    open[0].socket.put(BINDING);
    open[0].receive();
    open[1].permit(open[0].relayed);
    open[0].permit(open[1].relayed);
    open[0].send(open[1].relayed, b"x");
    assert_eq!(payload_of(&open[1].receive()), Some(&b"x"[..]));

    for client in open {
        client.request(&Request::release());
    }
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
    let refused = server.metric(r#"callbox_stun_requests_total{method="Allocate",result="508"}"#);
    assert!(refused > 0.0);
    assert!(allocate(&server).is_ok());
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success());
    let lines = log.lines().filter(|line| line.contains("no socket for an allocation")).count();
    assert_eq!(lines, 1, "one line a minute\n{log}");
}

/// A peer that connects meanwhile waits, and is accepted without a further connection.
#[test]
fn a_waiting_peer_is_accepted_once_file_descriptors_are_free() {
    let server = start();
    let stream = || {
        let stream = TcpStream::connect(server.turn()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Framed::new(stream)
    };
    let owner = PlainClient::allocate_tcp(stream());
    owner.permit(owner.relayed);
    let data = stream();
    data.put(BINDING);
    data.take();
    let mut open = Vec::new();
    while let Ok(client) = allocate(&server) {
        open.push(client);
        assert!(open.len() < FILES as usize);
    }
    let mut peer = TcpStream::connect(owner.relayed).unwrap();
    // The response comes after the worker was notified of the peer.
    owner.permit(owner.relayed);
    for client in open {
        client.request(&Request::release());
    }
    let attempt = owner.connection_attempt();
    let mut data = owner.bind_to(&attempt, data).into_inner();
    peer.write_all(b"here").unwrap();
    let mut got = [0; 4];
    data.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"here");
}
