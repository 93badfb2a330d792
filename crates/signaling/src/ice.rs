//! Relay credentials, as a client hands them to its `RTCPeerConnection`.

use callbox_base::{
    auth::TurnCredentials,
    clock::Now,
    ids::{CallId, SessionId, UserId},
};

use super::{Config, Hub, IceServer, RelayAccess, Timestamp, kicks::TokenMark};
use crate::jwt::Grants;

/// The servers that a client is told, with these credentials if it has any.
fn access(config: &Config, now: Now, turn_credentials: Option<TurnCredentials>) -> RelayAccess {
    let ttl = config.credential_ttl;
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

    /// Mints credentials for `user`, for one call if one is named, and if the user's token lets them
    /// have some.
    pub(super) fn mint(
        &self,
        now: Now,
        user: &UserId,
        grants: &Grants,
        token: TokenMark,
        call: Option<CallId>,
    ) -> RelayAccess {
        let (secrets, ttl) = (&self.config.turn_secrets, self.config.credential_ttl);
        let now = self.kicks.date(now, user);
        let mint = || secrets.mint(now, ttl, user, call, &self.config.turn_uris);
        let may = grants.relay && !self.kicks.refuse(now, user, token);
        access(&self.config, now, may.then(mint).flatten())
    }

    /// Mints for a session, as its token lets it; nothing for one that is gone.
    pub(super) fn ice_for(
        &self,
        now: Now,
        session: SessionId,
        call: Option<CallId>,
    ) -> RelayAccess {
        match self.sessions.get(&session) {
            Some(session) => self.mint(now, &session.user, &session.grants, session.token, call),
            None => RelayAccess {
                ice_servers: Vec::new(),
                turn_credentials: None,
                expires_at: Timestamp(now.unix),
            },
        }
    }
}
