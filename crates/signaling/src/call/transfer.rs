//! The transfer of a side of a call to another device of its user.

use callbox_base::{
    clock::{Now, TimerQueue},
    deadline::Deadline,
    ids::{CallId, DeviceId, SessionId},
};

use super::{RingingDevice, Role};
use crate::timer::Timer;

/// The transfer of a side of a call to another device of its user, which rings.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The side that is transferred.
    role: Role,
    /// The device that is to be the side.
    device: DeviceId,
    ringing: RingingDevice,
    /// The time until which it rings.
    until: Now,
    /// The end of the ringing, while its timer runs.
    deadline: Deadline,
    /// True if the device before has left, so that the call ends if the new one does not take it.
    alone: bool,
}

impl Transfer {
    /// Makes the transfer of a side to a device, which rings in this session until then.
    pub(crate) fn new(role: Role, device: DeviceId, session: SessionId, until: Now) -> Self {
        let ringing = RingingDevice::new(session);
        Self { role, device, ringing, until, deadline: Deadline::default(), alone: false }
    }

    /// Returns the side that is transferred.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Returns the device that is to be the side.
    pub(crate) fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Returns the session of the device that rings.
    pub(crate) fn session(&self) -> SessionId {
        self.ringing.session()
    }

    /// Returns the time until which it rings.
    pub(crate) fn until(&self) -> Now {
        self.until
    }

    /// Returns true if the device before has left.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Records that the device before has left.
    pub(crate) fn note_alone(&mut self) {
        self.alone = true;
    }

    /// Rings the device in a new session of it.
    pub(crate) fn ring_again(&mut self, session: SessionId) {
        self.ringing = RingingDevice::new(session);
    }

    /// Records that the device alerts its user. Returns true the first time.
    pub(crate) fn alert(&mut self) -> bool {
        self.ringing.alert()
    }

    /// Starts the time for which the device rings.
    pub(crate) fn start(&mut self, call: CallId, timers: &mut TimerQueue<Timer>) {
        self.deadline.set(self.until.instant, timers, Timer::Transfer(call));
    }

    /// Stops the time for which the device rings.
    pub(crate) fn stop(&mut self, call: CallId, timers: &mut TimerQueue<Timer>) {
        self.deadline.clear(timers, Timer::Transfer(call));
    }
}
