//! How far an allocation reaches, as far as calls say. With `--relay-policy signaled`, what was opened
//! with a call's credentials reaches what the call's other side has announced, and the relayed addresses
//! of this server, behind which there is another client. With credentials that name no call, such as
//! those that a client gets to gather its candidates with, the same holds of all calls that their user is
//! in at the moment. So whoever has got hold of credentials cannot send anywhere else with them.

use std::net::IpAddr;

use super::Engine;
use crate::{auth::TurnIdentity, stun::ErrorCode};

/// How far an address may be reached, before the peer policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Calls say nothing against it.
    Any,
    /// It is one of the server's own addresses: only its relayed ports that are open.
    Relayed,
}

impl Engine {
    /// How far the allocations of `owner` reach `ip`.
    ///
    /// # Errors
    /// 403 if no other side has announced it, or not yet.
    pub(super) fn reach(&self, owner: &TurnIdentity, ip: IpAddr) -> Result<Reach, ErrorCode> {
        let common = &self.common;
        if !common.config.signaled_peers {
            return Ok(Reach::Any);
        }
        let is_announced = match owner.call {
            Some(call) => common.announced.is_known_to(call, &owner.user, ip),
            None => common.announced.is_known_in_any_call_of(&owner.user, ip),
        };
        if is_announced {
            Ok(Reach::Any)
        } else if common.addresses.leads_to_relay(ip) {
            Ok(Reach::Relayed)
        } else {
            Err(ErrorCode::Forbidden)
        }
    }
}
