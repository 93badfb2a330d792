//! The application through the relay alone, as behind two NATs that let nothing else through.

use std::time::Duration;

use callbox::testing::Server;
use nat_tests::Call;
use tokio::{sync::oneshot, time::timeout};
use webrtc::{
    ice_transport::ice_candidate_type::RTCIceCandidateType,
    peer_connection::peer_connection_state::RTCPeerConnectionState,
};

const DEADLINE: Duration = Duration::from_secs(30);

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

// ANCHOR: relay
#[tokio::test]
async fn a_call_goes_through_the_relay() -> anyhow::Result<()> {
    let server = Server::builder().force_relay().start().await?;
    let (mut alice, mut bob) = connect(&server).await?;
    talk(&mut alice, &mut bob, "hello").await?;
    for call in [&alice, &bob] {
        let path = call.path().await.expect("it is connected");
        assert_eq!(path.local.typ, RTCIceCandidateType::Relay);
        assert_eq!(path.remote.typ, RTCIceCandidateType::Relay);
    }
    alice.end().await
}
// ANCHOR_END: relay

// ANCHOR: expiry
/// TURN credentials expire in mid-call: the relay serves the call on, and the server has sent fresh
/// ones.
#[tokio::test]
async fn a_call_outlives_its_credentials() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(2);
    let server = Server::builder().force_relay().credential_ttl(ttl).start().await?;
    let (mut alice, mut bob) = connect(&server).await?;
    // Fresh credentials come after half of the lifetime: after four times, the first ones and the
    // second ones have expired.
    for renewal in 1..=4 {
        timeout(DEADLINE, alice.renewed(renewal)).await??;
        talk(&mut alice, &mut bob, &format!("renewal {renewal}")).await?;
    }
    assert_eq!(alice.state(), RTCPeerConnectionState::Connected);
    assert_eq!(bob.state(), RTCPeerConnectionState::Connected);
    alice.end().await
}
// ANCHOR_END: expiry
