//! A server that has run out of file descriptors says so, goes on with what it has, and takes new
//! clients once there is room again.

mod common;
mod turn_client;

use std::process::Command;

use common::Server;
use turn::client::Client;
use turn_client::turn_client;
use webrtc_util::Conn;

/// Few enough to run out of soon, and enough to start.
const FILES: u32 = 64;

async fn client(server: &Server) -> Client {
    turn_client(server.turn(), server.text("/realm"), "user", "pass").await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_files_is_a_508_and_harms_nobody() {
    let serve = "serve --dev --ready-json --http 127.0.0.1:0 --listen 127.0.0.1:0 --workers 1 \
        --lifetime 5m --user user:pass";
    let shell = format!("ulimit -n {FILES} && exec {} {serve}", env!("CARGO_BIN_EXE_callbox"));
    let server = Server::spawn(Command::new("sh").args(["-c", &shell]));

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
