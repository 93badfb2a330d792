//! The commands to a worker, and the channels on which they are sent.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use callbox_base::ids::{CallId, UserId};
use callbox_turn::{FiveTuple, faults::Selector};
use mio::Waker;
use tokio::sync::mpsc::UnboundedSender;

use super::{new_stream::NewStream, packet_faults::FaultPlan};

/// A command to a worker.
#[derive(Debug)]
pub(super) enum Command {
    /// Take over a connection.
    Stream(Box<NewStream>),
    /// Forward the datagrams of this client to the worker that has its allocation.
    Forward {
        /// The client.
        tuple: FiveTuple,
        /// The worker's index.
        to: u16,
    },
    /// Stop forwarding the datagrams of this client.
    Forget(FiveTuple),
    /// Close the allocations of a call with these sides.
    EndCall(CallId, Arc<[UserId]>),
    /// Close a user's allocations for a call with these sides that goes on.
    RevokeUser(CallId, UserId, Arc<[UserId]>),
    /// Close a user's allocations.
    Kick(KickOrder),
    /// Inject a fault.
    Fault(FaultOrder),
    /// Judge again what was granted: the machine's addresses have changed.
    AddressesChanged,
    /// Close everything and end.
    Stop,
    /// Panic, for a test.
    #[cfg(any(test, feature = "testing"))]
    Panic,
}

/// The allocations of a user that are to be closed.
#[derive(Debug, Clone)]
pub(super) struct KickOrder {
    pub user: Arc<str>,
    /// Limits the order to the allocations that are for no call or for one of these; `None` means
    /// all.
    pub calls: Option<Arc<[CallId]>>,
    /// The channel on which the worker reports the number of allocations that it has closed.
    pub closed: UnboundedSender<usize>,
}

/// A fault that is to be injected.
#[derive(Debug, Clone)]
pub(super) struct FaultOrder {
    pub task: FaultTask,
    /// The channel on which the worker reports the number of allocations that it concerns.
    pub done: UnboundedSender<usize>,
}

/// Something that tests ask of the relay ([`Relay::inject`](crate::Relay::inject)).
#[derive(Debug, Clone)]
pub enum FaultTask {
    /// Replace the faults that last by these, or by none. An outage is over.
    Replace(Option<Arc<FaultPlan>>),
    /// Close the allocations of a selector without a word to their clients.
    DropAllocations(Selector),
    /// Count the allocations of a selector.
    CountAllocations(Selector),
    /// Be gone for this time: datagrams are discarded and streams are not read; the sockets stay
    /// open.
    Outage(Duration),
}

/// The channel to a worker, and its waker.
#[derive(Clone)]
pub(super) struct CommandSender {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
}

impl CommandSender {
    pub(crate) fn new(commands: mpsc::Sender<Command>, waker: Arc<Waker>) -> Self {
        Self { commands, waker }
    }

    /// Sends a command and wakes the worker. One that has ended needs no command.
    pub(crate) fn send(&self, command: Command) {
        if self.commands.send(command).is_ok()
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a relay worker cannot be woken");
        }
    }
}

/// The channels of a worker to all workers, by their index.
pub(super) struct AllWorkers {
    /// The index of the worker itself.
    own: u16,
    senders: Vec<CommandSender>,
}

impl AllWorkers {
    pub(crate) fn new(own: u16, senders: Vec<CommandSender>) -> Self {
        Self { own, senders }
    }

    /// Returns the index of the worker itself.
    #[inline]
    pub(crate) fn own_index(&self) -> u16 {
        self.own
    }

    /// Returns true if a worker with this index exists, and is another one.
    pub(crate) fn is_other(&self, worker: u16) -> bool {
        worker != self.own && usize::from(worker) < self.senders.len()
    }

    /// Sends a command to a worker, if it exists.
    pub(crate) fn send(&self, worker: u16, command: Command) {
        if let Some(sender) = self.senders.get(usize::from(worker)) {
            sender.send(command);
        }
    }
}
