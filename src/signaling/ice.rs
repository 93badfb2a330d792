//! What a client hands to its `RTCPeerConnection`.

use serde_json::{Map, Value, json};

use super::{Config, Hub, Timestamp};
use crate::{
    auth::{Grants, TurnCredentials},
    clock::Now,
    ids::{CallId, SessionId, UserId},
};

/// Servers and credentials for one user.
pub(super) struct IceServers {
    /// The W3C shape: `[{ urls, username?, credential? }]`.
    servers: Value,
    /// The seed's shape; nothing where the relay has no secret to mint with, or is not to be
    /// used.
    credentials: Option<TurnCredentials>,
    /// Until when the credentials open allocations.
    expires_at: Timestamp,
}

impl IceServers {
    /// Mints credentials for `user`, for one call if one is named, and if the user's token lets them
    /// have some.
    pub fn mint(
        config: &Config,
        now: Now,
        user: &UserId,
        grants: &Grants,
        call: Option<CallId>,
    ) -> Self {
        let (secrets, ttl) = (&config.turn_secrets, config.credential_ttl);
        let mint = || secrets.mint(now, ttl, user, call, &config.turn_uris);
        let credentials = grants.relay.then(mint).flatten();
        let mut servers = Vec::new();
        if !config.stun_uris.is_empty() {
            servers.push(json!({ "urls": config.stun_uris }));
        }
        if let Some(credentials) = &credentials
            && !credentials.uris.is_empty()
        {
            servers.push(json!({
                "urls": credentials.uris,
                "username": credentials.username,
                "credential": credentials.password,
            }));
        }
        let expires_at = Timestamp(now.unix + ttl);
        Self { servers: servers.into(), credentials, expires_at }
    }

    /// Writes `iceServers` and `turnCredentials` into a payload.
    pub fn write_to(self, data: &mut Map<String, Value>) {
        data.insert("iceServers".into(), self.servers);
        data.insert("turnCredentials".into(), json!(self.credentials));
    }

    /// The same, and `expiresAt`: for whoever asked for nothing else.
    pub fn write_with_expiry_to(self, data: &mut Map<String, Value>) {
        let expires_at = self.expires_at;
        self.write_to(data);
        data.insert("expiresAt".into(), json!(expires_at));
    }
}

impl Hub {
    /// Mints for a session that is there, as its token lets it.
    pub(super) fn ice_for(
        &self,
        now: Now,
        session: SessionId,
        call: Option<CallId>,
    ) -> Option<IceServers> {
        let session = self.sessions.get(&session)?;
        Some(IceServers::mint(&self.config, now, &session.user, &session.grants, call))
    }
}
