//! Relay credentials, as a client hands them to its `RTCPeerConnection`.

use super::{Config, Hub, IceServer, RelayAccess, Timestamp};
use crate::{
    auth::Grants,
    clock::Now,
    ids::{CallId, SessionId, UserId},
};

/// Mints credentials for `user`, for one call if one is named, and if the user's token lets them have
/// some.
pub(super) fn mint(
    config: &Config,
    now: Now,
    user: &UserId,
    grants: &Grants,
    call: Option<CallId>,
) -> RelayAccess {
    let (secrets, ttl) = (&config.turn_secrets, config.credential_ttl);
    let mint = || secrets.mint(now, ttl, user, call, &config.turn_uris);
    let turn_credentials = grants.relay.then(mint).flatten();
    let mut ice_servers = Vec::new();
    if !config.stun_uris.is_empty() {
        let urls = config.stun_uris.clone();
        ice_servers.push(IceServer { urls, username: None, credential: None });
    }
    if let Some(credentials) = &turn_credentials
        && !credentials.uris.is_empty()
    {
        ice_servers.push(IceServer {
            urls: credentials.uris.clone(),
            username: Some(credentials.username.clone()),
            credential: Some(credentials.password.clone()),
        });
    }
    RelayAccess { ice_servers, turn_credentials, expires_at: Timestamp(now.unix + ttl) }
}

impl Hub {
    /// Sets the STUN and TURN URIs that clients are told from now on.
    pub fn set_ice_uris(&mut self, stun: Vec<String>, turn: Vec<String>) {
        self.config.stun_uris = stun;
        self.config.turn_uris = turn;
    }

    /// Mints for a session, as its token lets it; nothing for one that is gone.
    pub(super) fn ice_for(
        &self,
        now: Now,
        session: SessionId,
        call: Option<CallId>,
    ) -> RelayAccess {
        match self.sessions.get(&session) {
            Some(session) => mint(&self.config, now, &session.user, &session.grants, call),
            None => RelayAccess {
                ice_servers: Vec::new(),
                turn_credentials: None,
                expires_at: Timestamp(now.unix),
            },
        }
    }
}
