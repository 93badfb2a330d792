//! ChannelBind (RFC 8656 §12.2): a two-byte name for a peer.

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{ChannelNumber, ErrorCode, Family, Request, ResponseBuilder};

use crate::{
    AllocationId, Common, Engine,
    allocation::{CHANNEL_LIFETIME, Channel, Transport},
    engine::Timer,
};

impl Engine {
    /// Binds a channel to a peer or refreshes the binding, and with it the permission for the peer's
    /// address.
    pub(crate) fn channel_bind(
        &mut self,
        now: Now,
        id: AllocationId,
        request: &Request<'_>,
    ) -> Result<ResponseBuilder, ErrorCode> {
        let number = request.attributes.channel_number.and_then(ChannelNumber::new);
        let (Some(number), Some(peer)) = (number, request.attributes.peer) else {
            return Err(ErrorCode::BadRequest);
        };
        let part = self.part(id, Family::of(peer))?;
        let allocation = self.open_ref(part)?;
        // There are no channels to connections (RFC 6062 §4).
        if allocation.transport == Transport::Tcp {
            return Err(ErrorCode::BadRequest);
        }
        let peer = PeerAddr(peer);
        let Common { addresses, config, relayed, .. } = &self.common;
        let scope = self.common.signaled_scope(&allocation.owner, peer.0.ip())?;
        let wire = addresses.check_peer(config, relayed, peer, scope, Transport::Udp)?;
        // A channel has one peer and a peer one channel, until the binding expires.
        let bound =
            self.parts(id).find_map(|part| part.channels.get(&number)).map(|bound| bound.peer);
        let has = allocation.channel_of.get(&peer).copied();
        if bound.is_some_and(|bound| bound != peer) || has.is_some_and(|has| has != number) {
            return Err(ErrorCode::BadRequest);
        }
        let channels: usize = self.parts(id).map(|part| part.channels.len()).sum();
        let permissions: usize = self.parts(id).map(|part| part.permissions.len()).sum();
        let full = bound.is_none() && channels >= self.common.config.max_channels
            || !allocation.permits(peer.0.ip())
                && permissions >= self.common.config.max_permissions;
        if full {
            return Err(ErrorCode::InsufficientCapacity);
        }
        let expires = now.instant + CHANNEL_LIFETIME;
        let allocation = self.open_mut(part)?;
        allocation.channel_of.insert(peer, number);
        let before = allocation.channels.insert(number, Channel { peer, wire, expires });
        let timer = Timer::Channel(part, number);
        match before {
            Some(before) => self.timers.reset(before.expires, expires, timer),
            None => self.timers.set(expires, timer),
        }
        // The permission lasts as long as the channel, though RFC 8656 §9 gives it five minutes:
        // clients that refresh by ChannelBind alone do so near the end of the channel's ten.
        self.install_permission(now, part, peer.0.ip(), CHANNEL_LIFETIME)?;
        Ok(ResponseBuilder::success(request))
    }
}
