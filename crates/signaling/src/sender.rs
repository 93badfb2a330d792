//! The sender of a request.

use callbox_base::ids::{DeviceId, SessionId, UserId};

/// Who sent a request.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub session: SessionId,
    pub user: UserId,
    pub device: DeviceId,
}
