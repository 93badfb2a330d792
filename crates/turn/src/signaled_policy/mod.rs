//! The reach of an allocation, as far as calls limit it. With `--relay-policy signaled`, an
//! allocation that was opened with a call's credentials reaches what the call's other side has
//! announced, and the relayed addresses of this server, behind which there is another client. With
//! credentials that name no call, such as those that a client gets to gather its candidates with,
//! the same holds of all calls that their user is in at the moment. So whoever has got hold of
//! credentials cannot send anywhere else with them. It ends with the call, or with the side that
//! has announced it, whatever was granted before.

mod announcements;

use std::net::IpAddr;

use callbox_stun::ErrorCode;

pub(super) use self::announcements::Announcements;
use super::RelayAddresses;
use crate::auth::TurnIdentity;

/// The ports of an address that may be reached, before the peer policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignaledScope {
    /// Calls say nothing against it.
    Any,
    /// It is one of the server's own addresses: only its relayed ports that are open.
    RelayedOnly,
}

/// Returns the scope in which the allocations of `owner` reach `ip`.
///
/// # Errors
/// 403 if no other side has announced it, or not yet.
pub(super) fn scope(
    announcements: &Announcements,
    addresses: &RelayAddresses,
    owner: &TurnIdentity,
    ip: IpAddr,
) -> Result<SignaledScope, ErrorCode> {
    let is_announced = match owner.call {
        Some(call) => announcements.is_known_to(call, &owner.user, ip),
        None => announcements.is_known_in_any_call_of(&owner.user, ip),
    };
    if is_announced {
        Ok(SignaledScope::Any)
    } else if addresses.leads_to_relay(ip) {
        Ok(SignaledScope::RelayedOnly)
    } else {
        Err(ErrorCode::Forbidden)
    }
}
