//! What a session hears of users whom it watches.

use callbox_base::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::PresenceStatus;

/// Whether a user can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresenceChangedEvent {
    /// Who.
    pub user_id: UserId,
    /// Whether they can.
    pub status: PresenceStatus,
}
