//! The sender of a request.

use callbox_base::ids::{DeviceId, SessionId, UserId};

/// The session, user and device that sent a request.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub session: SessionId,
    pub user: UserId,
    pub device: DeviceId,
}
