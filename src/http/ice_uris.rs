//! Passes the URIs of STUN and TURN to the hub while it runs.

use super::hub_task::HubHandle;

/// Sets the STUN and TURN URIs that clients are told.
#[derive(Debug, Clone)]
pub struct IceUris(pub(super) HubHandle);

impl IceUris {
    /// Sets the URIs; clients are told of these as soon as this returns.
    pub async fn set(&self, stun: Vec<String>, turn: Vec<String>) {
        // A hub that has stopped needs no URIs.
        let _ = self.0.act(move |hub, _| hub.set_ice_uris(stun, turn)).await;
    }
}
