//! Devices that lost their connections and cannot name themselves when they come back.
//!
//! A client that names neither its device nor the session that it continues may still be one that
//! has just lost its connection. It is taken for that if no other device that it may be looks the
//! same.

use std::time::Instant;

use callbox_base::ids::DeviceId;

use super::ClientMark;

/// The devices of a user that lost their connections and may come back without a name.
#[derive(Debug, Default)]
pub(super) struct LostDevices(Vec<LostDevice>);

/// A device that lost its connection.
#[derive(Debug)]
pub(super) struct LostDevice {
    /// The digest by which its client is recognized.
    pub mark: ClientMark,
    pub device: DeviceId,
    /// The time until which it is recognized.
    pub until: Instant,
}

impl LostDevices {
    /// Remembers a device. If there are `max` already, forgets the oldest.
    pub(crate) fn add(&mut self, lost: LostDevice, now: Instant, max: usize) {
        self.0.retain(|known| known.until > now && known.device != lost.device);
        if self.0.len() >= max.max(1) {
            self.0.remove(0);
        }
        self.0.push(lost);
    }

    /// Returns the device that has this mark; `None` if there are several.
    pub(crate) fn only_with(&self, mark: ClientMark, now: Instant) -> Option<&DeviceId> {
        let mut alike = self.0.iter().filter(|lost| lost.mark == mark && lost.until > now);
        let device = &alike.next()?.device;
        alike.next().is_none().then_some(device)
    }

    /// Forgets a device, which is connected again.
    pub(crate) fn remove(&mut self, device: &DeviceId) {
        self.0.retain(|lost| lost.device != *device);
    }
}
