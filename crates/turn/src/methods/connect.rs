//! Connect (RFC 6062 §5.2): a connection from the relayed address to a peer.

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{ErrorCode, Family, Request};

use crate::{
    AllocationId, Common, Engine, Output, allocation::Transport, auth::LongTermKey,
    connections::State,
};

impl Engine {
    /// Has the connection made; the answer follows in [`Engine::connected`].
    pub(crate) fn connect(
        &mut self,
        now: Now,
        id: AllocationId,
        key: LongTermKey,
        request: &Request<'_>,
    ) -> Result<(), ErrorCode> {
        let peer = PeerAddr(request.attributes.peer.ok_or(ErrorCode::BadRequest)?);
        let allocation = self.open_ref(id)?;
        if allocation.transport != Transport::Tcp {
            return Err(ErrorCode::AllocationMismatch);
        }
        if Family::of(peer.0) != allocation.family() {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        let Common { addresses, config, relayed, .. } = &self.common;
        let scope = self.common.signaled_scope(&allocation.owner, peer.0.ip())?;
        let to = addresses.check_peer(config, relayed, peer, scope, Transport::Tcp)?;
        let from = (allocation.ip.0, allocation.port).into();
        let mut others = allocation.connections.iter().filter_map(|c| self.connections.get(*c));
        if others.any(|other| other.peer == peer) {
            return Err(ErrorCode::ConnectionAlreadyExists);
        }
        let (transaction, fingerprint) = (request.transaction, request.fingerprint);
        let state = State::Connecting { transaction, fingerprint, key };
        let connection = self.add_connection(now, id, peer, state)?;
        self.outputs.push_back(Output::Connect { allocation: id, connection, from, to });
        Ok(())
    }
}
