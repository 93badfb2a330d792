//! The two ways between the relay and the hub.

use std::net::IpAddr;

use callbox_base::ids::{CallId, UserId};
use callbox_signaling::Input;
use tokio::sync::mpsc;

/// The number of the relay's events that wait for the hub.
const RELAY_QUEUE: usize = 16 * 1024;

/// Called with a room and the user who is readmitted to it.
type ReadmitUser = Box<dyn Fn(CallId, &UserId) + Send>;

/// Called with a room and the user whose credentials for it are revoked.
type RevokeUser = Box<dyn Fn(CallId, &UserId) + Send>;

/// Called with a call, the side that has announced addresses, the other side, and the addresses.
type OnPeersAnnounced = Box<dyn Fn(CallId, &UserId, &UserId, &[IpAddr]) + Send>;

/// The calls by which the relay is told of calls. None of these may block: the hub waits for them.
pub struct TellRelay {
    /// A call is over.
    pub call_ended: Box<dyn Fn(CallId) + Send>,
    /// A user is in a room, perhaps again.
    pub readmit_user: ReadmitUser,
    /// A user is in a room no more.
    pub revoke_user: RevokeUser,
    /// A user who was kicked has a new token.
    pub lift_kick: Box<dyn Fn(&UserId) + Send>,
    /// A side of a call has announced addresses. It has taken effect when this returns, since
    /// messages that are sent to clients next depend on it.
    pub peers_announced: OnPeersAnnounced,
}

/// The sending end of the relay's events. It never blocks: a relay worker has packets to move.
#[derive(Debug, Clone)]
pub struct RelayEvents(mpsc::Sender<Input>);

impl RelayEvents {
    /// Sends an event to the hub; returns true if there was room. A lost event costs a number in a
    /// call's record.
    pub fn tell(&self, input: Input) -> bool {
        self.0.try_send(input).is_ok()
    }
}

/// The receiving end of [`RelayEvents`], which the server is started with.
#[derive(Debug)]
pub struct RelayInbox(mpsc::Receiver<Input>);

impl RelayInbox {
    /// Waits for the next event; `None` once the relay has stopped.
    pub(super) async fn recv(&mut self) -> Option<Input> {
        self.0.recv().await
    }
}

/// Creates the queue between relay and hub. It exists before both: the relay gets it when it
/// starts, and the hub is created when the relay's addresses are known.
pub fn relay_events() -> (RelayEvents, RelayInbox) {
    let (sender, receiver) = mpsc::channel(RELAY_QUEUE);
    (RelayEvents(sender), RelayInbox(receiver))
}
