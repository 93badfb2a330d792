//! Restarts of the server: with `--state-dir`, calls go on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::common::{Server, callbox, run, socketio, websocket};

fn start(state: &Path) -> Server {
    start_with(state, &[])
}

fn start_with(state: &Path, more: &[&str]) -> Server {
    let state = state.to_str().expect("the name is text");
    let secrets = ["--jwt-secret", "north south east west, 32 bytes of it", "--auth-secret"];
    let records = format!("{state}/records.jsonl");
    let mut options = vec!["--state-dir", state, "--call-records", &records];
    options.extend(secrets);
    options.push("what the relay and the hub share");
    options.extend(more);
    Server::with(&options)
}

/// A client that names no device presents the id that the previous server assigned.
#[tokio::test]
async fn a_call_of_a_client_without_a_device_outlives_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let connect = async |server: &Server, pid: Value| {
        let mut client = socketio::Client::connect(server).await;
        let auth = json!({ "token": server.token("alice"), "pid": pid });
        let connected = client.auth(&auth).await;
        let connected: Value = serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap();
        (client, connected["pid"].clone())
    };
    let (mut alice, pid) = connect(&server, Value::Null).await;
    let mut bob = websocket::Client::sign_in_on(&server, "bob", Some("phone")).await;
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    alice.event("session:welcome").await;
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({})).await;
    stop(server);

    let server = start(dir.path());
    let (mut alice, _) = connect(&server, pid).await;
    assert_eq!(alice.event("call:sync").await["callId"], call);
    let ended = alice.request("call:end", json!({})).await;
    assert_eq!((&ended["callId"], &ended["reason"]), (&call, &json!("hangup")));
}

/// Stops the server as a supervisor does, and returns its log.
fn stop(server: Server) -> String {
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success() && !stderr.contains("ERROR"), "{stderr}");
    stderr
}

/// Returns the files of the call log.
fn log_files(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

/// Lets alice call bob, who accepts; returns the id of the call.
async fn call(alice: &mut websocket::Client, bob: &mut websocket::Client) -> Value {
    let initiate = json!({ "targetUserId": "bob", "callType": "video" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({})).await;
    call
}

async fn sign_in(server: &Server) -> (websocket::Client, websocket::Client) {
    (
        websocket::Client::sign_in_on(server, "alice", Some("laptop")).await,
        websocket::Client::sign_in_on(server, "bob", Some("phone")).await,
    )
}

fn records(state: &Path) -> Vec<Value> {
    let text = fs::read_to_string(state.join("records.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_call_outlives_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let mut bob = socketio::Client::sign_in_on(&server, "bob", "phone").await;
    let initiate = json!({ "targetUserId": "bob", "callType": "video" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({})).await;
    alice.request("signal:offer", json!({ "sdp": "v=0\r\na=ice-ufrag:a\r\n" })).await;
    bob.event("signal:offer").await;
    bob.request("signal:answer", json!({ "sdp": "v=0\r\na=ice-ufrag:b\r\n" })).await;
    alice.event("signal:answer").await;

    server.terminate();
    // It is the last event of each side, and no side is notified of an end of the call.
    assert!(alice.event("server:draining").await["reconnectAfterMs"].is_u64());
    assert_eq!(alice.closed().await.0, 1001);
    assert!(bob.event("server:draining").await["reconnectAfterMs"].is_u64());
    assert_eq!(bob.event("error").await["error"]["code"], "server_shutdown");
    // A client whose socket is disconnected (41) stays away; one whose transport closes reconnects.
    while let Some(packet) = bob.packet().await {
        assert!(!packet.starts_with("41"), "{packet}");
    }
    let (status, stderr) = server.wait();
    assert!(status.success() && stderr.contains("calls are kept"), "{stderr}");
    #[cfg(unix)]
    for path in log_files(dir.path()).into_iter().chain([dir.path().join("records.jsonl")]) {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }

    let server = start(dir.path());
    let mut bob = socketio::Client::sign_in_on(&server, "bob", "phone").await;
    let sync = bob.event("call:sync").await;
    assert_eq!((&sync["callId"], &sync["call"]["state"]), (&call, &json!("reconnecting")));
    assert_eq!(sync["description"]["sdp"], "v=0\r\na=ice-ufrag:a\r\n");
    let mut alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    assert_eq!(alice.event("call:sync").await["callId"], call);
    assert_eq!(bob.event("call:reconnected").await["userId"], "alice");
    alice.request("call:message", json!({ "data": "still there?" })).await;
    assert_eq!(bob.event("call:message").await["data"], "still there?");
    bob.request("call:end", json!({})).await;
    assert_eq!(alice.event("call:ended").await["reason"], "hangup");
    drop((alice, bob));
    stop(server);

    // There was one call.
    let records = records(dir.path());
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0]["id"], &records[0]["reason"]), (&call, &json!("hangup")));
}

#[tokio::test]
async fn a_call_that_cannot_be_kept_ends_on_its_record() {
    let (dir, records) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let records = records.path().join("records.jsonl");
    let [state, to] = [dir.path(), &records].map(|path| path.to_str().expect("it is text"));
    let server = Server::with(&["--state-dir", state, "--call-records", to]);
    let mut alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let mut bob = websocket::Client::sign_in_on(&server, "bob", Some("phone")).await;
    let initiate = json!({ "targetUserId": "bob", "callType": "video" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({})).await;
    dir.close().unwrap();
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success() && stderr.contains("calls cannot be kept"), "{stderr}");
    let record: Value = serde_json::from_str(&fs::read_to_string(records).unwrap()).unwrap();
    assert_eq!((&record["id"], &record["reason"]), (&call, &json!("server_shutdown")));
}

#[tokio::test]
async fn a_call_outlives_a_server_that_is_killed_and_a_room_ends_on_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut alice, mut bob) = sign_in(&server).await;
    let call = call(&mut alice, &mut bob).await;
    alice.request("signal:offer", json!({ "sdp": "v=0\r\na=ice-ufrag:a\r\n" })).await;
    alice.request("call:connected", json!({})).await;
    let mut carol = websocket::Client::sign_in_on(&server, "carol", Some("tablet")).await;
    let join = json!({ "roomId": "garden", "callType": "audio" });
    let room = carol.request("room:join", join).await["callId"].clone();
    // Drop kills the server with SIGKILL.
    drop(server);

    let server = start(dir.path());
    server
        .wait_for_metric("callbox_call_records_total{fate=\"written\"}", |written| written == 1.0);
    let ended = &records(dir.path())[0];
    assert_eq!((&ended["id"], &ended["reason"]), (&room, &json!("server_crashed")));
    let (mut alice, mut bob) = sign_in(&server).await;
    assert_eq!(alice.event("call:sync").await["callId"], call);
    let sync = bob.event("call:sync").await;
    assert_eq!(sync["call"]["state"], "connected");
    assert_eq!(sync["description"]["sdp"], "v=0\r\na=ice-ufrag:a\r\n");
    bob.request("call:end", json!({})).await;
    drop((alice, bob));
    stop(server);
    let records = records(dir.path());
    assert_eq!(records.len(), 2);
    assert_eq!((&records[1]["id"], &records[1]["reason"]), (&call, &json!("hangup")));
}

/// One bit in the entry of one call is flipped.
#[tokio::test]
async fn a_corrupt_entry_is_lost_alone_and_its_file_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut alice, mut bob) = sign_in(&server).await;
    let call = call(&mut alice, &mut bob).await;
    let sdp = "v=0 of somebody";
    alice.request("signal:offer", json!({ "sdp": sdp })).await;
    drop(server);
    let path = log_files(dir.path()).pop().unwrap();
    let mut log = fs::read(&path).unwrap();
    let at = log.windows(sdp.len()).position(|text| text == sdp.as_bytes()).unwrap();
    log[at] ^= 1;
    fs::write(&path, &log).unwrap();

    let server = start(dir.path());
    let (mut alice, mut bob) = sign_in(&server).await;
    assert_eq!(alice.event("call:sync").await["callId"], call);
    // Only the description is lost.
    assert_eq!(bob.event("call:sync").await["description"], Value::Null);
    drop((alice, bob));
    let stderr = stop(server);
    assert!(stderr.contains("unreadable=1"), "{stderr}");
    assert!(!stderr.contains("of somebody"), "{stderr}");
    assert_eq!(fs::read(path.with_extension("unreadable")).unwrap(), log);
}

#[tokio::test]
async fn a_server_that_does_not_start_leaves_the_calls_to_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut alice, mut bob) = sign_in(&server).await;
    let call = call(&mut alice, &mut bob).await;

    // Two servers in one directory would corrupt each other's files.
    let mut command =
        callbox(&["serve", "--dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let output = run(command.arg("--state-dir").arg(dir.path()));
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stderr.contains("another server that runs uses it"), "{}", output.stderr);
    stop(server);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = taken.local_addr().unwrap().to_string();
    let mut command = callbox(&["serve", "--dev", "--listen", "127.0.0.1:0", "--http", &http]);
    let output = run(command.arg("--state-dir").arg(dir.path()));
    assert_eq!(output.status, 1, "{}", output.stderr);
    let server = start(dir.path());
    let (mut alice, _bob) = sign_in(&server).await;
    assert_eq!(alice.event("call:sync").await["callId"], call);
}

#[tokio::test]
async fn calls_past_the_limit_of_the_next_server_end_on_their_records() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut alice, mut bob) = sign_in(&server).await;
    call(&mut alice, &mut bob).await;
    let mut carol = websocket::Client::sign_in(&server, "carol").await;
    let mut dave = websocket::Client::sign_in(&server, "dave").await;
    let initiate = json!({ "targetUserId": "dave", "callType": "video" });
    let second = carol.request("call:initiate", initiate).await["callId"].clone();
    dave.request("call:accept", json!({})).await;
    drop(server);
    let server = start_with(dir.path(), &["--max-calls", "1"]);
    server
        .wait_for_metric("callbox_call_records_total{fate=\"written\"}", |written| written == 1.0);
    let ended = &records(dir.path())[0];
    assert_eq!((&ended["id"], &ended["reason"]), (&second, &json!("server_crashed")));
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let args = ["serve", "--dev", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let output = run(callbox(&args).arg("--state-dir").arg(&file));
    assert_eq!(output.status, 1, "{}", output.stderr);
    let expected = format!("--state-dir {}: cannot be written: ", file.display());
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
}
