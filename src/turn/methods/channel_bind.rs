//! ChannelBind (RFC 8656 §12.2): a two-byte name for a peer.

use crate::{
    clock::Now,
    ids::PeerAddr,
    stun::{ChannelNumber, ErrorCode, Family, Request, ResponseBuilder},
    turn::{
        AllocationId, Common, Engine,
        allocation::{CHANNEL_LIFETIME, Channel, Transport},
        engine::Timer,
    },
};

impl Engine {
    /// Binds a channel to a peer or refreshes the binding, and with it the peer's permission.
    pub(in crate::turn) fn channel_bind(
        &mut self,
        now: Now,
        id: AllocationId,
        request: &Request<'_>,
    ) -> Result<ResponseBuilder, ErrorCode> {
        let number = request.attributes.channel_number.and_then(ChannelNumber::new);
        let (Some(number), Some(peer)) = (number, request.attributes.peer) else {
            return Err(ErrorCode::BadRequest);
        };
        let allocation = self.open_ref(id)?;
        // There are no channels to connections (RFC 6062 §4).
        if allocation.transport == Transport::Tcp {
            return Err(ErrorCode::BadRequest);
        }
        if Family::of(peer) != allocation.family() {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        let peer = PeerAddr(peer);
        let Common { addresses, config, relayed, .. } = &self.common;
        let reach = self.reach(&allocation.owner, peer.0.ip())?;
        let wire = addresses.check_peer(config, relayed, peer, reach)?;
        // A channel has one peer and a peer one channel, until the binding expires.
        let bound = allocation.channels.get(&number).map(|channel| channel.peer);
        let has = allocation.channel_of.get(&peer).copied();
        if bound.is_some_and(|bound| bound != peer) || has.is_some_and(|has| has != number) {
            return Err(ErrorCode::BadRequest);
        }
        let full = bound.is_none() && allocation.channels.len() >= self.common.config.max_channels
            || !allocation.permits(peer.0.ip())
                && allocation.permissions.len() >= self.common.config.max_permissions;
        if full {
            return Err(ErrorCode::InsufficientCapacity);
        }
        let expires = now.instant + CHANNEL_LIFETIME;
        let allocation = self.open_mut(id)?;
        allocation.channel_of.insert(peer, number);
        let before = allocation.channels.insert(number, Channel { peer, wire, expires });
        let timer = Timer::Channel(id, number);
        match before {
            Some(before) => self.timers.reset(before.expires, expires, timer),
            None => self.timers.set(expires, timer),
        }
        self.install_permission(now, id, peer.0.ip())?;
        Ok(ResponseBuilder::success(request))
    }
}
