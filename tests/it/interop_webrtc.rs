//! Two peers of webrtc-rs that use the relay only, with the credentials of one call.

use std::{sync::Arc, time::Duration};

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, time::timeout};
use webrtc::{
    api::APIBuilder,
    data_channel::data_channel_message::DataChannelMessage,
    ice_transport::{
        ice_candidate::RTCIceCandidate, ice_candidate_type::RTCIceCandidateType,
        ice_server::RTCIceServer,
    },
    peer_connection::{
        RTCPeerConnection, configuration::RTCConfiguration,
        policy::ice_transport_policy::RTCIceTransportPolicy,
    },
};

use crate::support::*;

async fn peer(server: &Server, user: &str, call: CallId) -> Arc<RTCPeerConnection> {
    let user = UserId::new(user).unwrap();
    let minted =
        secrets().mint(Now::read(), Duration::from_secs(60), &user, Some(call), &[]).unwrap();
    let configuration = RTCConfiguration {
        ice_servers: vec![RTCIceServer {
            urls: vec![format!("turn:{}?transport=udp", server.address(false))],
            username: minted.username,
            credential: minted.password,
        }],
        ice_transport_policy: RTCIceTransportPolicy::Relay,
        ..RTCConfiguration::default()
    };
    Arc::new(APIBuilder::new().build().new_peer_connection(configuration).await.unwrap())
}

/// Passes each candidate of one peer to the other, and checks that it is a relayed one.
fn trickle(from: &Arc<RTCPeerConnection>) -> mpsc::UnboundedReceiver<RTCIceCandidate> {
    let (sender, receiver) = mpsc::unbounded_channel();
    from.on_ice_candidate(Box::new(move |candidate| {
        if let Some(candidate) = candidate {
            assert_eq!(candidate.typ, RTCIceCandidateType::Relay);
            let _ = sender.send(candidate);
        }
        Box::pin(async {})
    }));
    receiver
}

async fn feed(
    to: Arc<RTCPeerConnection>,
    mut candidates: mpsc::UnboundedReceiver<RTCIceCandidate>,
) {
    while let Some(candidate) = candidates.recv().await {
        to.add_ice_candidate(candidate.to_json().unwrap()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_talk_through_the_relay_only() {
    let server = start(2, |_| {});
    let call = CallId::generate(Now::read().unix_ms(), &mut StdRng::seed_from_u64(1));
    let (alice, bob) = (peer(&server, "alice", call).await, peer(&server, "bob", call).await);
    let (from_alice, from_bob) = (trickle(&alice), trickle(&bob));

    let (sender, mut messages) = mpsc::unbounded_channel();
    let bobs_sender = sender.clone();
    bob.on_data_channel(Box::new(move |channel| {
        let sender = bobs_sender.clone();
        let answer = channel.clone();
        channel.on_message(Box::new(move |message: DataChannelMessage| {
            let _ = sender.send(message.data.to_vec());
            let answer = answer.clone();
            Box::pin(async move {
                answer.send_text("pong").await.unwrap();
            })
        }));
        Box::pin(async {})
    }));
    let channel = alice.create_data_channel("chat", None).await.unwrap();
    let ping = channel.clone();
    channel.on_open(Box::new(move || {
        Box::pin(async move {
            ping.send_text("ping").await.unwrap();
        })
    }));
    channel.on_message(Box::new(move |message: DataChannelMessage| {
        let _ = sender.send(message.data.to_vec());
        Box::pin(async {})
    }));

    let offer = alice.create_offer(None).await.unwrap();
    alice.set_local_description(offer.clone()).await.unwrap();
    bob.set_remote_description(offer).await.unwrap();
    let answer = bob.create_answer(None).await.unwrap();
    bob.set_local_description(answer.clone()).await.unwrap();
    alice.set_remote_description(answer).await.unwrap();
    tokio::spawn(feed(bob.clone(), from_alice));
    tokio::spawn(feed(alice.clone(), from_bob));

    for expected in ["ping", "pong"] {
        let got = timeout(DEADLINE, messages.recv()).await.expect("a message in time").unwrap();
        assert_eq!(got, expected.as_bytes());
    }
    assert!(server.relay.metrics().bytes_up > 0);
    alice.close().await.unwrap();
    // Alice's close may arrive first, and then Bob's fails because its channel is closed already.
    let _ = bob.close().await;
    server.wait_for_allocations(0);
}
