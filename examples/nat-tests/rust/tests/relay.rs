//! The application through a relay that fails, and behind NATs.

use std::{env, process::Command, time::Duration};

use callbox::testing::Server;
use nat_tests::Call;
use serde_json::json;
use tokio::{sync::oneshot, time::timeout};
use webrtc::{
    ice_transport::ice_candidate_type::RTCIceCandidateType,
    peer_connection::peer_connection_state::RTCPeerConnectionState,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// Lets alice call bob.
async fn connect(server: &Server) -> anyhow::Result<(Call, Call)> {
    let [alice, bob] = ["alice", "bob"].map(|user| server.token(user));
    let (online, is_online) = oneshot::channel();
    let url = server.websocket_url().to_owned();
    let bob = tokio::spawn(async move {
        let bob = bob?;
        nat_tests::answer(&url, &bob, || online.send(()).expect("alice waits")).await
    });
    timeout(DEADLINE, is_online).await??;
    let alice =
        timeout(DEADLINE, nat_tests::call(server.websocket_url(), &alice?, "bob")).await??;
    Ok((alice, timeout(DEADLINE, bob).await???))
}

/// Sends a text each way.
async fn talk(alice: &mut Call, bob: &mut Call, text: &str) -> anyhow::Result<()> {
    alice.send(text).await?;
    assert_eq!(timeout(DEADLINE, bob.text()).await??, text);
    bob.send(text).await?;
    assert_eq!(timeout(DEADLINE, alice.text()).await??, text);
    Ok(())
}

/// Asserts that both are connected, and that the relay is on both ends of the path.
async fn assert_relayed(alice: &Call, bob: &Call) {
    for call in [alice, bob] {
        assert_eq!(call.state(), RTCPeerConnectionState::Connected);
        let path = call.path().await.expect("it is connected");
        assert_eq!(path.local.typ, RTCIceCandidateType::Relay);
        assert_eq!(path.remote.typ, RTCIceCandidateType::Relay);
    }
}

// ANCHOR: relay
#[tokio::test]
async fn a_call_goes_through_the_relay() -> anyhow::Result<()> {
    let server = Server::builder().force_relay().start().await?;
    let (mut alice, mut bob) = connect(&server).await?;
    talk(&mut alice, &mut bob, "hello").await?;
    assert_relayed(&alice, &bob).await;
    alice.end().await
}
// ANCHOR_END: relay

// ANCHOR: expiry
/// Packets are lost, and the TURN credentials expire in mid-call. The relay refuses the refreshes of
/// both sides' allocations, which therefore end with their lifetime.
#[tokio::test]
async fn a_call_outlives_its_credentials() -> anyhow::Result<()> {
    let server = Server::builder().force_relay().allow_faults().option("max-lifetime", "4s");
    let server = server.start().await?;
    let (mut alice, mut bob) = connect(&server).await?;
    server
        .faults(json!({
            "seed": 42,
            "packets": [{ "lossPercent": 5 }],
            "actions": [{ "action": "expireCredentials" }],
        }))
        .await?;
    // The application gets fresh credentials, and a second connection with them.
    for call in [&mut alice, &mut bob] {
        timeout(DEADLINE, call.connected(2)).await??;
    }
    for number in 0..20 {
        talk(&mut alice, &mut bob, &format!("text {number}")).await?;
    }
    assert_relayed(&alice, &bob).await;
    let report = server.end_faults().await?;
    assert!(report.injected.packets_lost > 0, "{report:?}");
    alice.end().await
}
// ANCHOR_END: expiry

// ANCHOR: restart
/// With a state directory, calls go on after a restart. The allocations of the relay do not.
#[tokio::test]
async fn a_call_outlives_its_server() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let server = Server::builder().force_relay().option("state-dir", state.path().display());
    let server = server.start().await?;
    let (mut alice, mut bob) = connect(&server).await?;
    let server = server.restart().await?;
    for call in [&mut alice, &mut bob] {
        timeout(DEADLINE, call.connected(2)).await??;
    }
    talk(&mut alice, &mut bob, "still there?").await?;
    assert_relayed(&alice, &bob).await;
    alice.end().await?;
    bob.ended().await;
    server.stop().await;
    Ok(())
}
// ANCHOR_END: restart

// ANCHOR: symmetric
/// Each side is behind a symmetric NAT of its own. The server does not force the relay: there is no
/// other path.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "callbox natlab needs Linux")]
fn a_call_between_symmetric_nats() -> anyhow::Result<()> {
    let callbox = env::var("CALLBOX_BIN").unwrap_or("callbox".into());
    let mut lab = Command::new(callbox);
    lab.args(["natlab", "run", "--a", "symmetric", "--b", "symmetric", "--timeout", "60s", "--"]);
    let output = lab.arg(env!("CARGO_BIN_EXE_nat-tests")).output()?;
    let stdout = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{}\n{stdout}{stderr}", output.status);
    for side in ["a", "b"] {
        let lines = || stdout.lines().filter_map(|line| line.strip_prefix(side));
        assert!(lines().any(|line| line.contains(" to ") && line.contains("relay")), "{stdout}");
        assert!(lines().any(|line| line.ends_with("received hello")), "{stdout}");
    }
    Ok(())
}
// ANCHOR_END: symmetric
