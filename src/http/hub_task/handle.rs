//! The handle by which the HTTP side reaches the hub, and its commands.

use std::fmt;

use callbox_base::{
    clock::Now,
    ids::{DeviceId, SessionId},
};
use callbox_signaling::{Hub, Input, Resume, jwt::Identity};
use tokio::sync::{mpsc, oneshot};

use super::faults::FaultTask;
use crate::http::session_queue::{Inlet, Outlet, pipe};

/// The number of inputs that wait for the hub. When it is reached, the connections that send more
/// wait.
const QUEUE: usize = 1024;

/// The handle by which the HTTP side reaches the hub.
#[derive(Debug, Clone)]
pub(in crate::http) struct HubHandle {
    commands: mpsc::Sender<Command>,
    /// The number of bytes that may wait for each session.
    outbox_bytes: usize,
}

/// An action on the hub. It returns the function that answers its caller, if it has not answered.
type Act = Box<dyn FnOnce(&mut Hub, Now) -> Option<Reply> + Send>;

/// Answers the caller of an action.
pub(in crate::http) type Reply = Box<dyn FnOnce() + Send>;

/// The input of the task from the HTTP side.
pub(super) enum Command {
    /// Opens or resumes a session.
    Open(Box<Opening>),
    /// From a connection, under the id that it was opened with.
    Input(Input),
    /// Injects faults, and returns the number of sessions that they concern.
    Fault(FaultTask, oneshot::Sender<usize>),
    /// Executes an action.
    Act(Act),
}

/// A connection that is to carry a session.
pub(super) struct Opening {
    pub connection: SessionId,
    pub identity: Box<Identity>,
    pub device: Option<DeviceId>,
    pub resume: Resume,
    pub outlet: Outlet,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command")
    }
}

impl HubHandle {
    /// Creates the handle, and the receiving end of its commands. For each session,
    /// `outbox_bytes` may wait.
    pub(super) fn new(outbox_bytes: usize) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(QUEUE);
        (Self { commands, outbox_bytes }, receiver)
    }

    /// Returns a sender of commands that does not keep the task alive.
    pub(super) fn downgrade(&self) -> mpsc::WeakSender<Command> {
        self.commands.downgrade()
    }

    /// Opens or resumes a session; its first delivery tells if the hub accepted it. The connection
    /// has the id that is given here in either case.
    pub(crate) async fn open(
        &self,
        connection: SessionId,
        identity: Identity,
        device: Option<DeviceId>,
        resume: Resume,
    ) -> Inlet {
        let (outlet, inlet) = pipe(self.outbox_bytes);
        let identity = Box::new(identity);
        let opening = Opening { connection, identity, device, resume, outlet };
        self.send(Command::Open(Box::new(opening))).await;
        inlet
    }

    /// Sends an input to the hub, waiting for room in its queue.
    pub(crate) fn tell(&self, input: Input) -> impl Future<Output = ()> {
        self.send(Command::Input(input))
    }

    /// Reports a connection that is gone to the hub; does not wait.
    pub(crate) fn closed(&self, input: Input) {
        let command = Command::Input(input);
        let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) else {
            return;
        };
        // The queue is full for the moment; this input must not be lost, and a drop cannot wait.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let hub = self.clone();
            runtime.spawn(async move { hub.send(command).await });
        }
    }

    /// Reads from the hub. Returns `None` once the server has stopped.
    pub(crate) async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Hub, Now) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let act: Act = Box::new(move |hub, now| {
            // The caller may have gone away.
            let _ = sender.send(look(hub, now));
            None
        });
        self.send(Command::Act(act)).await;
        receiver.await.ok()
    }

    /// Executes an action on the hub, for operators. The result comes once the outputs of the
    /// action are executed, so that the relay knows of the calls that it has ended, and they are
    /// stored. Returns `None` once the server has stopped.
    pub(crate) async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Hub, Now) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let act: Act = Box::new(move |hub, now| {
            let result = act(hub, now);
            // The caller may have gone away.
            Some(Box::new(move || drop(sender.send(result))))
        });
        self.send(Command::Act(act)).await;
        receiver.await.ok()
    }

    /// Injects faults. Returns the number of sessions that they concern, or `None` once the server
    /// has stopped.
    pub(crate) async fn inject(&self, task: FaultTask) -> Option<usize> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Fault(task, sender)).await;
        receiver.await.ok()
    }

    async fn send(&self, command: Command) {
        // Nearly always there is room, and no need to wait. The hub ends after all its senders;
        // nobody needs the error.
        if let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) {
            let _ = self.commands.send(command).await;
        }
    }
}
