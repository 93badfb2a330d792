//! The devices that ring.

use std::{collections::BTreeMap, time::Instant};

use callbox_base::{
    clock::{Now, TimerQueue},
    deadline::Deadline,
    ids::{CallId, DeviceId, SessionId},
};

use crate::timer::Timer;

/// A device that received the call and may accept it.
#[derive(Debug)]
pub(crate) struct RingingDevice {
    session: SessionId,
    /// True if it said that it alerts its user.
    alerting: bool,
}

impl RingingDevice {
    pub(crate) fn new(session: SessionId) -> Self {
        Self { session, alerting: false }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Records that it alerts its user. Returns true the first time.
    pub(crate) fn alert(&mut self) -> bool {
        !std::mem::replace(&mut self.alerting, true)
    }
}

/// The ringing of a call at the callee's devices, before the accept.
#[derive(Debug)]
pub(crate) struct Ringing {
    call: CallId,
    /// The time until which the call rings.
    until: Now,
    /// The end of the ringing, while its timer runs.
    deadline: Deadline,
    /// The time until which it waits for the decision whether to hold it for a device.
    hold_decision: Deadline,
    devices: BTreeMap<DeviceId, RingingDevice>,
}

impl Ringing {
    /// Makes the ringing of a call that has reached no device.
    pub(crate) fn new(call: CallId, until: Now) -> Self {
        let (deadline, hold_decision) = Default::default();
        Self { call, until, deadline, hold_decision, devices: BTreeMap::new() }
    }

    /// Returns the time until which the call rings.
    pub(crate) fn until(&self) -> Now {
        self.until
    }

    /// Starts the time for which the call rings.
    pub(crate) fn start(&mut self, timers: &mut TimerQueue<Timer>) {
        self.deadline.set(self.until.instant, timers, Timer::Ring(self.call));
    }

    /// Stops the timers. The devices stay, for those who are told of the end of the call.
    pub(crate) fn stop_timers(&mut self, timers: &mut TimerQueue<Timer>) {
        self.deadline.clear(timers, Timer::Ring(self.call));
        self.stop_hold_decision(timers);
    }

    /// Stops the ringing with its timers. Returns the sessions of the devices that rang.
    pub(crate) fn stop(&mut self, timers: &mut TimerQueue<Timer>) -> Vec<SessionId> {
        self.stop_timers(timers);
        std::mem::take(&mut self.devices).values().map(RingingDevice::session).collect()
    }

    /// Returns true if no device rings.
    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Returns the number of devices that ring.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.devices.len()
    }

    /// Returns the sessions of the devices that ring.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.devices.values().map(RingingDevice::session)
    }

    pub(crate) fn get_mut(&mut self, device: &DeviceId) -> Option<&mut RingingDevice> {
        self.devices.get_mut(device)
    }

    /// Adds a device.
    pub(crate) fn add(&mut self, device: DeviceId, session: SessionId) {
        self.devices.insert(device, RingingDevice::new(session));
    }

    /// Removes the device of a session that is gone.
    pub(crate) fn remove(&mut self, session: SessionId) {
        self.devices.retain(|_, device| device.session != session);
    }

    /// Starts the wait for the decision whether to hold the call.
    pub(crate) fn await_hold_decision(&mut self, until: Instant, timers: &mut TimerQueue<Timer>) {
        self.hold_decision.set(until, timers, Timer::HoldDecision(self.call));
    }

    /// Stops the wait for the decision whether to hold the call. Returns true if it ran.
    pub(crate) fn stop_hold_decision(&mut self, timers: &mut TimerQueue<Timer>) -> bool {
        self.hold_decision.clear(timers, Timer::HoldDecision(self.call))
    }

    /// Returns true while the call waits for the decision whether to hold it.
    #[cfg(test)]
    pub(crate) fn awaits_hold_decision(&self) -> bool {
        self.hold_decision.is_set()
    }
}
