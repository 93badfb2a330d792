//! Relay credentials: minting, refreshing, and accepting them again after a kick.

use callbox_base::{
    auth::TurnCredentials,
    clock::Now,
    ids::{CallId, SessionId, UserId},
};

use super::{Hub, members};
use crate::{
    Config, IceServer, IceTransportPolicy, Output, RelayAccess, Timestamp, events::IceServersEvent,
    jwt::Grants, kicks::TokenMark,
};

/// Schedules fresh relay credentials for everyone in a call after half of their lifetime, so that
/// everyone always has some that open allocations.
pub(super) fn schedule_refresh(hub: &mut Hub, now: Now, id: CallId) {
    let half = hub.config.credential_ttl / 2;
    if half.is_zero() || hub.config.turn_secrets.is_empty() {
        return;
    }
    let at = now.instant + half;
    if let Some(live) = members::lifecycle_mut(&mut hub.calls, &mut hub.rooms, id) {
        live.schedule_credential_refresh(at, &mut hub.timers);
    }
}

/// Sends everyone in a call fresh relay credentials.
pub(super) fn refresh(hub: &mut Hub, now: Now, id: CallId) {
    let (room_id, sessions): (_, Vec<_>) = if let Some(call) = hub.calls.get(id) {
        (None, call.members().collect())
    } else if let Some(room) = hub.rooms.get(id) {
        (Some(room.name().clone()), room.sessions().collect())
    } else {
        return;
    };
    for session in sessions {
        let ice = mint_for_session(hub, now, session, Some(id));
        let fresh = IceServersEvent {
            call_id: id,
            room_id: room_id.clone(),
            ice_servers: ice.ice_servers,
            ice_transport_policy: ice.ice_transport_policy,
            turn_credentials: ice.turn_credentials,
            expires_at: ice.expires_at,
        };
        hub.outbox.send(session, &fresh);
    }
    schedule_refresh(hub, now, id);
}

/// Mints relay credentials for a user, scoped to a call if one is named. Leaves them out if the
/// token does not allow the relay, or was revoked by a kick.
pub(super) fn mint(
    hub: &Hub,
    now: Now,
    user: &UserId,
    grants: &Grants,
    token: TokenMark,
    call: Option<CallId>,
) -> RelayAccess {
    let (secrets, ttl) = (&hub.config.turn_secrets, hub.config.credential_ttl);
    let now = hub.kicks.date(now, user);
    let mint = || secrets.mint(now, ttl, user, call, &hub.config.turn_uris);
    let may = grants.relay && !hub.kicks.refuse(now, user, token);
    access(&hub.config, now, may.then(mint).flatten())
}

/// Mints relay credentials with the rights of a session's token. Returns no servers for a session
/// that is gone.
pub(super) fn mint_for_session(
    hub: &Hub,
    now: Now,
    session: SessionId,
    call: Option<CallId>,
) -> RelayAccess {
    match hub.sessions.get(session) {
        Some(session) => {
            let token = session.token();
            mint(hub, now, session.user(), token.grants(), token.mark(), call)
        }
        None => RelayAccess {
            ice_servers: Vec::new(),
            ice_transport_policy: forced_policy(&hub.config),
            turn_credentials: None,
            expires_at: Timestamp(now.unix),
        },
    }
}

/// Lets the relay accept a user's credentials again after a kick, if the token was not revoked by
/// it.
pub(super) fn readmit(hub: &mut Hub, now: Now, user: &UserId, token: TokenMark) {
    if !hub.kicks.refuse(now, user, token) && hub.kicks.readmit(user) {
        hub.outbox.push(Output::LiftKick { user: user.clone() });
    }
}

/// Returns the servers for a client, with these credentials if it has any.
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
    RelayAccess {
        ice_servers,
        ice_transport_policy: forced_policy(config),
        turn_credentials,
        expires_at: Timestamp(now.unix + ttl),
    }
}

/// Returns the policy that clients are to use, if the configuration forces one.
fn forced_policy(config: &Config) -> Option<IceTransportPolicy> {
    config.force_relay.then_some(IceTransportPolicy::Relay)
}
