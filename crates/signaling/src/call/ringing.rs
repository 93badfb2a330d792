//! Devices that ring: those of a callee, and one that a side is transferred to.

use callbox_base::{
    clock::Now,
    ids::{DeviceId, SessionId},
};

use super::Role;

/// A device that received the call and may accept it.
#[derive(Debug)]
pub(crate) struct RingingDevice {
    session: SessionId,
    /// True if it said that it alerts its user.
    alerting: bool,
}

impl RingingDevice {
    pub fn new(session: SessionId) -> Self {
        Self { session, alerting: false }
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Records that it alerts its user. Returns true the first time.
    pub fn alert(&mut self) -> bool {
        !std::mem::replace(&mut self.alerting, true)
    }
}

/// The hand-over of a side of a call to another device of its user, which rings.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The side that is handed over.
    pub role: Role,
    /// The device that is to be the side.
    pub device: DeviceId,
    pub ringing: RingingDevice,
    /// The time until which it rings.
    pub until: Now,
    /// True if the device before has left, so that the call ends if the new one does not take it.
    pub alone: bool,
}
