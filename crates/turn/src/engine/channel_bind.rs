//! ChannelBind (RFC 8656 §12.2): a two-byte name for a peer.

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{ChannelNumber, ErrorCode, Family, Request, ResponseBuilder};

use super::{Engine, create_permission};
use crate::{AllocationId, channels::CHANNEL_LIFETIME, transport::Transport};

/// Binds a channel to a peer or refreshes the binding, and with it the permission for the peer's
/// address.
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    request: &Request<'_>,
) -> Result<ResponseBuilder, ErrorCode> {
    let Engine { common, allocations, timers, .. } = engine;
    let number = request.attributes.channel_number.and_then(ChannelNumber::new);
    let (Some(number), Some(peer)) = (number, request.attributes.peer) else {
        return Err(ErrorCode::BadRequest);
    };
    let part = allocations.of_family(id, Family::of(peer))?;
    let allocation = allocations.open_ref(part)?;
    // There are no channels to connections (RFC 6062 §4).
    if allocation.transport() == Transport::Tcp {
        return Err(ErrorCode::BadRequest);
    }
    let peer = PeerAddr(peer);
    let wire = common.check_peer(allocation.owner(), peer, Transport::Udp)?;
    // A channel has one peer and a peer one channel, until the binding expires.
    let parts = || allocations.with_twin(id);
    let bound = parts().find_map(|part| part.channels().get(number)).map(|bound| bound.peer);
    let has = allocation.channels().of_peer(peer);
    if bound.is_some_and(|bound| bound != peer) || has.is_some_and(|has| has != number) {
        return Err(ErrorCode::BadRequest);
    }
    let channels: usize = parts().map(|part| part.channels().len()).sum();
    let permissions: usize = parts().map(|part| part.permissions().len()).sum();
    let full = bound.is_none() && channels >= common.config.max_channels
        || !allocation.permissions().contains(peer.0.ip())
            && permissions >= common.config.max_permissions;
    if full {
        return Err(ErrorCode::InsufficientCapacity);
    }
    let expires = now.instant + CHANNEL_LIFETIME;
    let channels = allocations.open_mut(part)?.channels_mut();
    channels.bind((part, number), (peer, wire), expires, timers);
    // The permission lasts as long as the channel, though RFC 8656 §9 gives it five minutes:
    // clients that refresh by ChannelBind alone do so near the end of the channel's ten.
    create_permission::install(engine, now, part, peer.0.ip(), CHANNEL_LIFETIME)?;
    Ok(ResponseBuilder::success(request))
}
