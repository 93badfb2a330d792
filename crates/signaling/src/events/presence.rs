//! The event of the users whom a session watches.

use callbox_base::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::PresenceStatus;

/// The presence of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresenceChangedEvent {
    /// The user.
    pub user_id: UserId,
    /// The user's presence.
    pub status: PresenceStatus,
}
