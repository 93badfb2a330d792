//! `--call-records`: one line of JSON for each ended call.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::common::{Server, callbox, run, websocket};

const WRITTEN: &str = "callbox_call_records_total{fate=\"written\"}";

fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lets alice call bob, who refuses; returns the id of the call.
async fn call(alice: &mut websocket::Client, bob: &mut websocket::Client) -> Value {
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:reject", json!({ "callId": call })).await;
    call
}

#[tokio::test]
async fn each_call_is_a_line_and_the_file_can_be_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let (path, rotated) = (dir.path().join("calls.jsonl"), dir.path().join("calls.jsonl.1"));
    let server = Server::with(&["--call-records", path.to_str().unwrap()]);
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = websocket::Client::sign_in(&server, "bob").await;
    let first = call(&mut alice, &mut bob).await;
    server.wait_for_metric(WRITTEN, |written| written == 1.0);
    let call_view = server.get(
        &format!("/api/v1/calls/{}", first.as_str().unwrap()),
        Some(server.text("/dev/apiKey")),
    );
    assert_eq!(records(&path), [call_view.json()]);

    // As logrotate does it: the file is renamed, then the server gets a signal.
    fs::rename(&path, &rotated).unwrap();
    let send_sighup = ["-HUP".into(), server.pid().to_string()];
    assert!(Command::new("kill").args(&send_sighup).status().unwrap().success());
    let until = std::time::Instant::now() + crate::common::DEADLINE;
    while !path.exists() {
        assert!(std::time::Instant::now() < until, "the file is not opened again");
        std::thread::yield_now();
    }
    let second = call(&mut alice, &mut bob).await;
    server.wait_for_metric(WRITTEN, |written| written == 2.0);
    let ids = |path| records(path).iter().map(|record| record["id"].clone()).collect::<Vec<_>>();
    assert_eq!((ids(&rotated), ids(&path)), (vec![first.clone()], vec![second]));

    // Calls that end because the server stops are written as well.
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    alice.request("call:initiate", initiate).await;
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success() && !stderr.contains("in time"), "{stderr}");
    let last = records(&path).pop().unwrap();
    assert_eq!((&last["reason"], &last["endedBy"]), (&json!("server_shutdown"), &Value::Null));
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").join("calls.jsonl");
    let args = ["serve", "--dev", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let mut command = callbox(&args);
    let output = run(command.arg("--call-records").arg(&path));
    assert_eq!(output.status, 1, "{}", output.stderr);
    let expected = format!("--call-records {}: cannot be written: No such file", path.display());
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
}

/// Every write to `/dev/full` fails, and the server is killed meanwhile.
#[tokio::test]
async fn a_record_that_was_not_written_is_written_by_the_next_server() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let path = dir.path().join("calls.jsonl");
    let start = |records: &str| {
        Server::with(&["--state-dir", state.to_str().unwrap(), "--call-records", records])
    };
    let server = start("/dev/full");
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = websocket::Client::sign_in(&server, "bob").await;
    let calls = [call(&mut alice, &mut bob).await, call(&mut alice, &mut bob).await];
    // Drop kills the server with SIGKILL.
    drop(server);
    let server = start(path.to_str().unwrap());
    server.wait_for_metric(WRITTEN, |written| written == 2.0);
    drop(server);
    // The record is not written twice.
    drop(start(path.to_str().unwrap()));
    let ids: Vec<_> = records(&path).iter().map(|record| record["id"].clone()).collect();
    assert_eq!(ids, calls);
}
