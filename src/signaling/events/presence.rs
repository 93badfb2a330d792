//! What a session hears of users whom it watches.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{ids::UserId, signaling::PresenceStatus};

/// Whether a user can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct PresenceChangedEvent {
    /// Who.
    pub user_id: UserId,
    /// Whether they can.
    pub status: PresenceStatus,
}
