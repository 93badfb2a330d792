//! One side of a call, or one participant of a room.

use std::time::Instant;

use callbox_base::{
    clock::TimerQueue,
    deadline::Deadline,
    ids::{DeviceId, SessionId, UserId},
};
use serde::{Deserialize, Serialize};

use super::{CallStats, Media, Participant};
use crate::timer::Timer;

/// One side of a call, or one participant of a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Party {
    user: UserId,
    name: Option<String>,
    /// The device in the call: of the callee, the one that accepted.
    device: Option<DeviceId>,
    /// The session of that device, while it has one.
    #[serde(skip)]
    session: Option<SessionId>,
    /// The end of the reconnect grace, while the device has no connection.
    #[serde(skip)]
    grace: Deadline,
    /// True if its device came back with a new session, which has said nothing about the call yet.
    #[serde(skip)]
    unclaimed: bool,
    /// True if it said that its media stopped.
    media_lost: bool,
    /// The media that it says it sends.
    media: Media,
    /// The quality that it measured last.
    stats: Option<CallStats>,
}

impl Party {
    /// Makes a party without a device in the call.
    pub(crate) fn new(user: UserId, name: Option<String>) -> Self {
        Self {
            user,
            name,
            device: None,
            session: None,
            grace: Deadline::default(),
            unclaimed: false,
            media_lost: false,
            media: Media::default(),
            stats: None,
        }
    }

    /// Returns the party with a device that is connected.
    pub(crate) fn with_device(self, device: DeviceId, session: SessionId) -> Self {
        Self { device: Some(device), session: Some(session), ..self }
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    pub(crate) fn name(&self) -> Option<&String> {
        self.name.as_ref()
    }

    pub(crate) fn device(&self) -> Option<&DeviceId> {
        self.device.as_ref()
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Returns true if its device has a connection to the server.
    pub(crate) fn is_connected(&self) -> bool {
        self.session.is_some() && !self.is_in_grace()
    }

    /// Returns true while the reconnect grace runs.
    pub(crate) fn is_in_grace(&self) -> bool {
        self.grace.is_set()
    }

    /// Returns true if the call waits for this side: for its connection or for its media.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_in_grace() || self.media_lost
    }

    /// Returns true if its device is on this session and has sent no request about a call yet.
    pub(crate) fn is_unclaimed_by(&self, session: SessionId) -> bool {
        self.unclaimed && self.session == Some(session)
    }

    /// Records that its device, if it is on this session, has sent a request about a call.
    pub(crate) fn claim(&mut self, session: SessionId) {
        if self.session == Some(session) {
            self.unclaimed = false;
        }
    }

    /// Attaches a new session of its device.
    pub(crate) fn attach(&mut self, session: SessionId) {
        self.session = Some(session);
        self.unclaimed = true;
        // The state that the device reported over the connection before may be outdated.
        self.media_lost = false;
    }

    /// Detaches the session, which is gone.
    pub(crate) fn detach(&mut self) {
        self.session = None;
    }

    /// Makes another device that of this side. Returns the session of the device before.
    pub(crate) fn change_device(
        &mut self,
        device: DeviceId,
        session: SessionId,
    ) -> Option<SessionId> {
        self.media_lost = false;
        // The media was that of the device before; its quality statistics stay with the call.
        self.media = Media::default();
        self.device = Some(device);
        self.session.replace(session)
    }

    /// Starts the reconnect grace, unless it runs already.
    pub(crate) fn start_grace(
        &mut self,
        until: Instant,
        timers: &mut TimerQueue<Timer>,
        timer: Timer,
    ) {
        if !self.grace.is_set() {
            self.grace.set(until, timers, timer);
        }
    }

    /// Stops the reconnect grace.
    pub(crate) fn stop_grace(&mut self, timers: &mut TimerQueue<Timer>, timer: Timer) {
        self.grace.clear(timers, timer);
    }

    /// Records whether its media stopped.
    pub(crate) fn set_media_lost(&mut self, is_lost: bool) {
        self.media_lost = is_lost;
    }

    /// Changes the media that it says it sends.
    pub(crate) fn media_mut(&mut self) -> &mut Media {
        &mut self.media
    }

    pub(crate) fn set_stats(&mut self, stats: CallStats) {
        self.stats = Some(stats);
    }

    /// Returns the media that it says it sends, unless that is the default.
    pub(crate) fn announced_media(&self) -> Option<Media> {
        (self.media != Media::default()).then_some(self.media)
    }

    /// Returns the record of the party, without its role in the call.
    pub(crate) fn record(&self) -> Participant {
        Participant {
            user_id: self.user.clone(),
            participant_id: None,
            name: self.name.clone(),
            role: None,
            device_id: self.device.clone(),
            joined_at: None,
            left_at: None,
            connected: None,
            media: self.announced_media(),
            stats: self.stats,
        }
    }
}
