//! A peer connection with the data channel of the texts.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::mpsc;
use webrtc::{
    api::APIBuilder,
    data_channel::{RTCDataChannel, data_channel_message::DataChannelMessage},
    ice_transport::{ice_candidate_pair::RTCIceCandidatePair, ice_server::RTCIceServer},
    peer_connection::{
        RTCPeerConnection, configuration::RTCConfiguration,
        peer_connection_state::RTCPeerConnectionState,
        policy::ice_transport_policy::RTCIceTransportPolicy,
        sdp::session_description::RTCSessionDescription,
    },
};

/// A change of a peer connection.
pub(crate) enum Change {
    Opened,
    Text(String),
    /// The path is gone. It may come back, but does not where the relay has closed its allocation.
    Lost,
}

/// Sends the changes of a peer connection, each with the number of it.
pub(crate) type Changes = mpsc::UnboundedSender<(usize, Change)>;

/// A peer connection.
pub(crate) struct Media {
    connection: RTCPeerConnection,
    /// The data channel, once this side has it.
    channel: Arc<OnceLock<Arc<RTCDataChannel>>>,
}

impl Media {
    /// Makes a peer connection. `ice` is what the server sent: the ICE servers, and the policy.
    pub(crate) async fn new(
        ice: &Value,
        number: usize,
        offers: bool,
        changes: &Changes,
    ) -> Result<Self> {
        let connection = APIBuilder::new().build().new_peer_connection(configuration(ice)?).await?;
        let lost = changes.clone();
        connection.on_peer_connection_state_change(Box::new(move |state| {
            if matches!(
                state,
                RTCPeerConnectionState::Disconnected | RTCPeerConnectionState::Failed
            ) {
                // The call may be over.
                let _ = lost.send((number, Change::Lost));
            }
            Box::pin(async {})
        }));
        // The side that offers announces the channel. One that is negotiated never opens if the first
        // text of the other side comes before webrtc-rs has opened it (webrtc-rs/webrtc#821).
        let channel = Arc::new(OnceLock::new());
        if offers {
            let texts = connection.create_data_channel("texts", None).await?;
            follow(&texts, number, changes);
            let _ = channel.set(texts);
        } else {
            let (announced, changes) = (channel.clone(), changes.clone());
            connection.on_data_channel(Box::new(move |texts| {
                follow(&texts, number, &changes);
                let _ = announced.set(texts);
                Box::pin(async {})
            }));
        }
        Ok(Self { connection, channel })
    }

    /// Makes an offer, with all candidates in it.
    pub(crate) async fn offer(&self) -> Result<String> {
        let offer = self.connection.create_offer(None).await?;
        self.describe(offer).await
    }

    /// Applies an offer, and makes the answer to it.
    pub(crate) async fn answer(&self, offer: String) -> Result<String> {
        let offer = RTCSessionDescription::offer(offer)?;
        self.connection.set_remote_description(offer).await?;
        let answer = self.connection.create_answer(None).await?;
        self.describe(answer).await
    }

    async fn describe(&self, description: RTCSessionDescription) -> Result<String> {
        let mut gathered = self.connection.gathering_complete_promise().await;
        self.connection.set_local_description(description).await?;
        let _ = gathered.recv().await;
        let description = self.connection.local_description().await;
        Ok(description.context("there is a description")?.sdp)
    }

    /// Applies the answer to this side's offer.
    pub(crate) async fn answered(&self, answer: String) -> Result<()> {
        let answer = RTCSessionDescription::answer(answer)?;
        Ok(self.connection.set_remote_description(answer).await?)
    }

    /// Sends a text.
    pub(crate) async fn send(&self, text: &str) -> Result<()> {
        self.channel.get().context("the data channel is not open")?.send_text(text).await?;
        Ok(())
    }

    pub(crate) fn state(&self) -> RTCPeerConnectionState {
        self.connection.connection_state()
    }

    /// Returns the selected pair of candidates.
    pub(crate) async fn path(&self) -> Option<RTCIceCandidatePair> {
        let dtls = self.connection.sctp().transport();
        dtls.ice_transport().get_selected_candidate_pair().await
    }

    pub(crate) async fn close(&self) {
        // The other side may have closed it already.
        let _ = self.connection.close().await;
    }
}

/// Sends the changes of a data channel.
fn follow(channel: &RTCDataChannel, number: usize, changes: &Changes) {
    let opened = changes.clone();
    channel.on_open(Box::new(move || {
        let _ = opened.send((number, Change::Opened));
        Box::pin(async {})
    }));
    let texts = changes.clone();
    channel.on_message(Box::new(move |message: DataChannelMessage| {
        let text = String::from_utf8_lossy(&message.data).into_owned();
        let _ = texts.send((number, Change::Text(text)));
        Box::pin(async {})
    }));
}

fn configuration(ice: &Value) -> Result<RTCConfiguration> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let servers = ice["iceServers"].as_array().context("there are no ICE servers")?;
    let servers = servers.iter().map(|server| RTCIceServer {
        urls: server["urls"].as_array().into_iter().flatten().map(text).collect(),
        username: text(&server["username"]),
        credential: text(&server["credential"]),
    });
    Ok(RTCConfiguration {
        ice_servers: servers.collect(),
        ice_transport_policy: match ice["iceTransportPolicy"].as_str() {
            Some("relay") => RTCIceTransportPolicy::Relay,
            _ => RTCIceTransportPolicy::All,
        },
        ..Default::default()
    })
}
