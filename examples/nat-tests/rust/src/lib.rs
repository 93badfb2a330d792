//! A small application: two users call each other, and send texts over a data channel.
//!
//! It stands for yours. `tests/` shows how to test it.

mod signaling;

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use webrtc::{
    api::APIBuilder,
    data_channel::{
        RTCDataChannel, data_channel_init::RTCDataChannelInit,
        data_channel_message::DataChannelMessage,
    },
    ice_transport::{
        ice_candidate::RTCIceCandidateInit, ice_candidate_pair::RTCIceCandidatePair,
        ice_server::RTCIceServer,
    },
    peer_connection::{
        RTCPeerConnection, configuration::RTCConfiguration,
        peer_connection_state::RTCPeerConnectionState,
        policy::ice_transport_policy::RTCIceTransportPolicy,
        sdp::session_description::RTCSessionDescription,
    },
};

use signaling::Signaling;

/// Calls a user, and returns once the data channel is open.
pub async fn call(server: &str, token: &str, user: &str) -> Result<Call> {
    let mut signaling = Signaling::connect(server, token).await?;
    let wanted = json!({ "targetUserId": user, "callType": "audio" });
    let call = signaling.request("call:initiate", wanted).await?;
    signaling.event("call:accepted").await?;
    let call = Call::new(signaling, &call).await?;
    let offer = call.connection.create_offer(None).await?;
    call.connection.set_local_description(offer.clone()).await?;
    call.request("signal:offer", json!({ "sdp": offer.sdp })).await?;
    call.opened().await
}

/// Signs in, waits for a call and takes it, and returns once the data channel is open. `online` is
/// called when the user can be called.
pub async fn answer(server: &str, token: &str, online: impl FnOnce()) -> Result<Call> {
    let mut signaling = Signaling::connect(server, token).await?;
    online();
    let incoming = signaling.event("call:incoming").await?;
    let call = Call::new(signaling, &incoming).await?;
    call.request("call:accept", json!({})).await?;
    call.opened().await
}

/// A call.
pub struct Call {
    id: Value,
    signaling: signaling::Requests,
    connection: Arc<RTCPeerConnection>,
    channel: Arc<RTCDataChannel>,
    state: watch::Receiver<RTCPeerConnectionState>,
    is_open: watch::Receiver<bool>,
    texts: mpsc::UnboundedReceiver<String>,
    renewals: watch::Receiver<usize>,
}

impl Call {
    /// Makes the peer connection of a call. `call` has the call's id and the ICE servers.
    async fn new(mut signaling: Signaling, call: &Value) -> Result<Self> {
        let configuration = configuration(call)?;
        let connection = APIBuilder::new().build().new_peer_connection(configuration).await?;
        let connection = Arc::new(connection);
        let (id, requests) = (call["callId"].clone(), signaling.requests());

        let (state_changed, state) = watch::channel(RTCPeerConnectionState::New);
        connection.on_peer_connection_state_change(Box::new(move |state| {
            state_changed.send_replace(state);
            Box::pin(async {})
        }));

        // Both sides open the same channel, so that neither has to announce it.
        let same = RTCDataChannelInit { negotiated: Some(0), ..Default::default() };
        let channel = connection.create_data_channel("texts", Some(same)).await?;
        let (opened, is_open) = watch::channel(false);
        channel.on_open(Box::new(move || {
            opened.send_replace(true);
            Box::pin(async {})
        }));
        let (received, texts) = mpsc::unbounded_channel();
        channel.on_message(Box::new(move |message: DataChannelMessage| {
            let _ = received.send(String::from_utf8_lossy(&message.data).into_owned());
            Box::pin(async {})
        }));

        let (candidate_requests, call_id) = (requests.clone(), id.clone());
        connection.on_ice_candidate(Box::new(move |candidate| {
            let (requests, id) = (candidate_requests.clone(), call_id.clone());
            Box::pin(async move {
                let Some(Ok(candidate)) = candidate.map(|candidate| candidate.to_json()) else {
                    return;
                };
                let data = json!({ "callId": id, "candidate": candidate });
                // The call may be over already.
                let _ = requests.request("ice:candidate", data).await;
            })
        }));

        let (renewed, renewals) = watch::channel(0);
        let (peer, answers, call_id) = (connection.clone(), requests.clone(), id.clone());
        tokio::spawn(async move {
            while let Some((event, data)) = signaling.next().await {
                if event == "ice:servers" {
                    renewed.send_modify(|count| *count += 1);
                }
                if let Err(error) = apply(&peer, &answers, &call_id, &event, &data).await {
                    eprintln!("{event}: {error:#}");
                }
            }
        });
        Ok(Self { id, signaling: requests, connection, channel, state, is_open, texts, renewals })
    }

    async fn request(&self, name: &str, mut data: Value) -> Result<Value> {
        data["callId"] = self.id.clone();
        self.signaling.request(name, data).await
    }

    async fn opened(mut self) -> Result<Self> {
        self.is_open.wait_for(|open| *open).await.context("the call has ended")?;
        Ok(self)
    }

    /// Sends a text to the other side.
    pub async fn send(&self, text: &str) -> Result<()> {
        self.channel.send_text(text).await?;
        Ok(())
    }

    /// Returns the next text of the other side.
    pub async fn text(&mut self) -> Result<String> {
        self.texts.recv().await.context("the call has ended")
    }

    /// Returns the state of the connection.
    pub fn state(&self) -> RTCPeerConnectionState {
        *self.state.borrow()
    }

    /// Returns the path of the media.
    pub async fn path(&self) -> Option<RTCIceCandidatePair> {
        let dtls = self.connection.sctp().transport();
        dtls.ice_transport().get_selected_candidate_pair().await
    }

    /// Waits until the server has sent fresh TURN credentials this many times.
    pub async fn renewed(&mut self, times: usize) -> Result<()> {
        self.renewals.wait_for(|count| *count >= times).await.context("the call has ended")?;
        Ok(())
    }

    /// Hangs up.
    pub async fn end(self) -> Result<()> {
        self.request("call:end", json!({})).await?;
        // Its channel may be closed by the other side already.
        let _ = self.connection.close().await;
        Ok(())
    }
}

/// Returns the configuration of a peer connection from the ICE servers that the server sent.
fn configuration(call: &Value) -> Result<RTCConfiguration> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let servers = call["iceServers"].as_array().context("there are no ICE servers")?;
    let servers = servers.iter().map(|server| RTCIceServer {
        urls: server["urls"].as_array().into_iter().flatten().map(text).collect(),
        username: text(&server["username"]),
        credential: text(&server["credential"]),
    });
    Ok(RTCConfiguration {
        ice_servers: servers.collect(),
        ice_transport_policy: match call["iceTransportPolicy"].as_str() {
            Some("relay") => RTCIceTransportPolicy::Relay,
            _ => RTCIceTransportPolicy::All,
        },
        ..Default::default()
    })
}

/// Applies an event of the other side to the peer connection.
async fn apply(
    connection: &RTCPeerConnection,
    requests: &signaling::Requests,
    call: &Value,
    event: &str,
    data: &Value,
) -> Result<()> {
    let sdp = || data["sdp"].as_str().unwrap_or_default().to_owned();
    match event {
        "signal:offer" => {
            connection.set_remote_description(RTCSessionDescription::offer(sdp())?).await?;
            let answer = connection.create_answer(None).await?;
            connection.set_local_description(answer.clone()).await?;
            let data = json!({ "callId": call, "sdp": answer.sdp });
            requests.request("signal:answer", data).await?;
        }
        "signal:answer" => {
            connection.set_remote_description(RTCSessionDescription::answer(sdp())?).await?;
        }
        "ice:candidate" if !data["candidate"].is_null() => {
            let candidate: RTCIceCandidateInit = serde_json::from_value(data["candidate"].clone())?;
            connection.add_ice_candidate(candidate).await?;
        }
        "call:ended" => connection.close().await?,
        _ => {}
    }
    Ok(())
}
