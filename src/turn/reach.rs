//! How far an allocation reaches, as far as its call says. With `--relay-policy signaled`, what was
//! opened with a call's credentials reaches what the call's other side has announced, and the
//! relayed addresses of this server, behind which there is another client. So whoever has got hold of
//! a call's credentials cannot send anywhere else with them.

use std::net::IpAddr;

use super::Engine;
use crate::{auth::TurnIdentity, stun::ErrorCode};

/// How far an address may be reached, before the peer policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Its call says nothing against it.
    Any,
    /// It is one of the server's own addresses: only its relayed ports that are open.
    Relayed,
}

impl Engine {
    /// How far the allocations of `owner` reach `ip`.
    ///
    /// # Errors
    /// 403 if the call's other side has not announced it, or not yet.
    pub(super) fn reach(&self, owner: &TurnIdentity, ip: IpAddr) -> Result<Reach, ErrorCode> {
        let common = &self.common;
        // Credentials that name no call are somebody else's to hand out with care.
        let Some(call) = owner.call.filter(|_| common.config.signaled_peers) else {
            return Ok(Reach::Any);
        };
        if common.announced.is_known_to(call, &owner.user, ip) {
            Ok(Reach::Any)
        } else if common.addresses.is_relay_ip(ip) {
            Ok(Reach::Relayed)
        } else {
            Err(ErrorCode::Forbidden)
        }
    }
}
