//! How the hub hears of the URIs of STUN and TURN while it runs.

use super::hub_task::HubHandle;

/// Tells the hub by which URIs clients come.
#[derive(Debug, Clone)]
pub struct IceUris(pub(super) HubHandle);

impl IceUris {
    /// From when this returns, clients are told of these.
    pub async fn set(&self, stun: Vec<String>, turn: Vec<String>) {
        // A hub that has stopped tells nobody anything.
        let _ = self.0.act(move |hub, _| hub.set_ice_uris(stun, turn)).await;
    }
}
