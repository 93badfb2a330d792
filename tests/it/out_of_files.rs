//! A server that has run out of file descriptors says so, goes on with what it has, and takes new
//! clients once there is room again.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use turn::client::Client;
use webrtc_util::Conn;

use crate::{
    common::{DEADLINE, Server},
    support::plain_client::{Framed, PlainClient, Wire},
    turn_client::turn_client,
};

/// Few enough to run out of soon, and enough to start.
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

async fn client(server: &Server) -> Client {
    turn_client(server.turn(), server.text("/realm"), "static", "pass").await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_files_is_a_508_and_harms_nobody() {
    let server = start();
    let (mut clients, mut open, mut refused) = (Vec::new(), Vec::new(), None);
    for _ in 0..FILES {
        let client = client(&server).await;
        match client.allocate().await {
            Ok(conn) => open.push(conn),
            Err(error) => refused = Some(error.to_string()),
        }
        clients.push(client);
    }
    assert!(open.len() > 10, "only {} allocations", open.len());
    let refused = refused.expect("64 allocations do not fit 64 files");
    assert!(refused.contains("508"), "{refused}");
    // It still answers, and what is open still relays.
    clients[0].send_binding_request().await.unwrap();
    open[0].send_to(b"x", open[1].local_addr().unwrap()).await.unwrap();

    for conn in open {
        conn.close().await.unwrap();
    }
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
    let refused = server.metric(r#"callbox_stun_requests_total{method="Allocate",result="508"}"#);
    assert!(refused > 0.0);
    client(&server).await.allocate().await.unwrap();
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success());
    let lines = log.lines().filter(|line| line.contains("no socket for an allocation")).count();
    assert_eq!(lines, 1, "one line a minute\n{log}");
}

/// A peer that comes while there are none waits, and nobody has to come after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_cannot_be_accepted_is_once_there_are_files() {
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
    let (mut clients, mut open) = (Vec::new(), Vec::new());
    loop {
        let client = client(&server).await;
        let allocated = client.allocate().await;
        clients.push(client);
        match allocated {
            Ok(conn) => open.push(conn),
            Err(_) => break,
        }
        assert!(open.len() < FILES as usize);
    }
    let mut peer = TcpStream::connect(owner.relayed).unwrap();
    // Answered after the worker was told of the peer.
    owner.permit(owner.relayed);
    for conn in open {
        conn.close().await.unwrap();
    }
    let attempt = owner.connection_attempt();
    let mut data = owner.bind_to(&attempt, data).into_inner();
    peer.write_all(b"here").unwrap();
    let mut got = [0; 4];
    data.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"here");
}
