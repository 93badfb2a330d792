//! A call, which outlives its peer connections and the connection to the server.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use webrtc::{
    ice_transport::ice_candidate_pair::RTCIceCandidatePair,
    peer_connection::peer_connection_state::RTCPeerConnectionState,
};

use crate::{
    media::{Change, Changes, Media},
    signaling::{Requests, Signaling},
};

/// Signs in, calls a user, and returns once the data channel is open.
pub async fn call(server: &str, token: &str, user: &str) -> Result<Call> {
    let mut signaling = Signaling::connect(server, token).await?;
    let wanted = json!({ "targetUserId": user, "callType": "audio" });
    let call = signaling.request("call:initiate", wanted).await?;
    signaling.event("call:accepted").await?;
    let (call, mut driver) = Call::new(signaling, &call, true).await?;
    driver.offer().await?;
    call.opened(driver).await
}

/// Signs in, waits for a call and takes it, and returns once the data channel is open. `online` is
/// called when the user can be called.
pub async fn answer(server: &str, token: &str, online: impl FnOnce()) -> Result<Call> {
    let mut signaling = Signaling::connect(server, token).await?;
    online();
    let incoming = signaling.event("call:incoming").await?;
    let (call, driver) = Call::new(signaling, &incoming, false).await?;
    driver.request("call:accept", json!({})).await?;
    call.opened(driver).await
}

/// A call.
pub struct Call {
    id: Value,
    requests: Requests,
    media: watch::Receiver<Arc<Media>>,
    connections: watch::Receiver<usize>,
    texts: mpsc::UnboundedReceiver<String>,
}

impl Call {
    async fn new(signaling: Signaling, call: &Value, is_caller: bool) -> Result<(Self, Driver)> {
        let (changed, changes) = mpsc::unbounded_channel();
        let media = Media::new(call, 1, is_caller, &changed).await?;
        let (replaced, media) = watch::channel(Arc::new(media));
        let (opened, connections) = watch::channel(0);
        let (received, texts) = mpsc::unbounded_channel();
        let (id, requests) = (call["callId"].clone(), signaling.requests());
        let call = Self { id: id.clone(), requests, media, connections, texts };
        let driver = Driver {
            id,
            signaling,
            is_caller,
            number: 1,
            media: replaced,
            changed,
            changes,
            opened,
            received,
            last_description: String::new(),
            awaits_answer: false,
        };
        Ok((call, driver))
    }

    async fn opened(mut self, driver: Driver) -> Result<Self> {
        tokio::spawn(driver.run());
        self.connected(1).await?;
        Ok(self)
    }

    /// Sends a text to the other side.
    pub async fn send(&self, text: &str) -> Result<()> {
        let media = self.media.borrow().clone();
        media.send(text).await
    }

    /// Returns the next text of the other side.
    pub async fn text(&mut self) -> Result<String> {
        self.texts.recv().await.context("the call has ended")
    }

    /// Waits until the call has had this many connections, and the last of them is open: the first
    /// one, and one for each loss of the path.
    pub async fn connected(&mut self, times: usize) -> Result<()> {
        self.connections.wait_for(|count| *count >= times).await.context("the call has ended")?;
        Ok(())
    }

    /// Returns the state of the peer connection.
    pub fn state(&self) -> RTCPeerConnectionState {
        self.media.borrow().state()
    }

    /// Returns the path of the media.
    pub async fn path(&self) -> Option<RTCIceCandidatePair> {
        let media = self.media.borrow().clone();
        media.path().await
    }

    /// Hangs up.
    pub async fn end(self) -> Result<()> {
        self.requests.request("call:end", json!({ "callId": self.id })).await?;
        let media = self.media.borrow().clone();
        media.close().await;
        Ok(())
    }

    /// Waits until the other side has hung up.
    pub async fn ended(mut self) {
        while self.texts.recv().await.is_some() {}
    }
}

/// Serves a call until it ends.
struct Driver {
    id: Value,
    signaling: Signaling,
    is_caller: bool,
    /// The number of the current peer connection.
    number: usize,
    media: watch::Sender<Arc<Media>>,
    changed: Changes,
    changes: mpsc::UnboundedReceiver<(usize, Change)>,
    opened: watch::Sender<usize>,
    received: mpsc::UnboundedSender<String>,
    /// The last description of the other side.
    last_description: String,
    awaits_answer: bool,
}

impl Driver {
    async fn run(mut self) {
        loop {
            let done = tokio::select! {
                event = self.signaling.next() => match event {
                    Some((event, data)) if event != "call:ended" => self.on_event(&event, &data).await,
                    _ => break,
                },
                Some((number, change)) = self.changes.recv() => self.on_change(number, change).await,
            };
            if let Err(error) = done {
                // A lost connection to the server is followed by `call:sync`.
                eprintln!("{error:#}");
            }
        }
        let media = self.media.borrow().clone();
        media.close().await;
    }

    async fn on_event(&mut self, event: &str, data: &Value) -> Result<()> {
        match event {
            "signal:offer" => self.on_offer(data).await,
            "signal:answer" => self.on_answer(data).await,
            // The server was restarted. What was sent to this side in between is in the event.
            "call:sync" => match data["description"]["type"].as_str() {
                Some("offer") => self.on_offer(&data["description"]).await,
                Some("answer") if self.awaits_answer => self.on_answer(&data["description"]).await,
                // The new relay does not have the allocations of the one before.
                _ if self.is_caller && !self.awaits_answer => self.reconnect().await,
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn on_change(&mut self, number: usize, change: Change) -> Result<()> {
        match change {
            Change::Text(text) => drop(self.received.send(text)),
            Change::Opened => drop(self.opened.send_replace(number)),
            // Only one side offers, so that offers do not cross.
            Change::Lost if self.is_caller && number == self.number => self.reconnect().await?,
            Change::Lost => {}
        }
        Ok(())
    }

    // ANCHOR: reconnect
    /// Replaces the peer connection after the path was lost, since webrtc-rs restarts ICE with the
    /// credentials that it was given first. The relay may not take these any more.
    async fn reconnect(&mut self) -> Result<()> {
        self.replace_media().await?;
        self.offer().await
    }

    async fn replace_media(&mut self) -> Result<()> {
        let fresh = self.request("ice:refresh", json!({})).await?;
        self.number += 1;
        let media = Media::new(&fresh, self.number, self.is_caller, &self.changed).await?;
        let before = self.media.send_replace(Arc::new(media));
        tokio::spawn(async move { before.close().await });
        Ok(())
    }
    // ANCHOR_END: reconnect

    async fn offer(&mut self) -> Result<()> {
        let media = self.media.borrow().clone();
        let sdp = media.offer().await?;
        self.request("signal:offer", json!({ "sdp": sdp })).await?;
        self.awaits_answer = true;
        Ok(())
    }

    async fn on_offer(&mut self, data: &Value) -> Result<()> {
        let Some(offer) = self.news(data) else { return Ok(()) };
        let is_first = self.last_description.is_empty();
        self.last_description.clone_from(&offer);
        if !is_first {
            self.replace_media().await?;
        }
        let media = self.media.borrow().clone();
        let sdp = media.answer(offer).await?;
        self.request("signal:answer", json!({ "sdp": sdp })).await?;
        Ok(())
    }

    async fn on_answer(&mut self, data: &Value) -> Result<()> {
        let Some(answer) = self.news(data) else { return Ok(()) };
        self.last_description.clone_from(&answer);
        self.awaits_answer = false;
        let media = self.media.borrow().clone();
        media.answered(answer).await
    }

    /// Returns a description, unless it was applied already: `call:sync` repeats the last one.
    fn news(&self, data: &Value) -> Option<String> {
        let sdp = data["sdp"].as_str().unwrap_or_default();
        (sdp != self.last_description).then(|| sdp.to_owned())
    }

    async fn request(&self, name: &str, mut data: Value) -> Result<Value> {
        data["callId"] = self.id.clone();
        self.signaling.request(name, data).await
    }
}
