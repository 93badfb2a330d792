//! The task that owns the hub: everything that happens to it comes through one bounded queue, and
//! what it wants done goes to bounded outboxes, one for each session.

use std::{collections::HashMap, future, sync::Arc};

use tokio::sync::{Notify, mpsc, oneshot};

use super::counters::Counters;
use crate::{
    auth::Identity,
    clock::Now,
    ids::{CallId, DeviceId, SessionId},
    signaling::{Answer, CloseReason, Event, Hub, Input, Output, RequestId},
};

/// Requests that wait for the hub. Past it, the connections that send more wait.
const QUEUE: usize = 1024;

/// The relay's news that wait for the hub.
const RELAY_QUEUE: usize = 16 * 1024;

/// Messages that wait for a session's connection. A burst of candidates fits in many times; who
/// has more waiting does not read.
const OUTBOX: usize = 256;

/// What is told when a call is over.
pub type OnCallEnded = Box<dyn Fn(CallId) + Send>;

/// What a session's front has to send.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The first message.
    Welcome(serde_json::Value),
    /// An event.
    Event(Event),
    /// The answer to a request.
    Answer(RequestId, Answer),
    /// The last message: the hub has closed the session.
    Close(CloseReason),
}

/// The hub's end of a session.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: mpsc::Sender<Box<Delivery>>,
    cut: Arc<Notify>,
}

/// The front's end of a session.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) queue: mpsc::Receiver<Box<Delivery>>,
    /// Told once the session's outbox has run over.
    pub(super) cut: Arc<Notify>,
}

/// Makes the two ends of a session. Messages are boxed: the queue's first block of slots is
/// allocated for every session, however idle.
fn pipe() -> (Outlet, Inlet) {
    let (sender, receiver) = mpsc::channel(OUTBOX);
    let cut = Arc::new(Notify::new());
    (Outlet { queue: sender, cut: cut.clone() }, Inlet { queue: receiver, cut })
}

type View = Box<dyn FnOnce(&Hub, Now) + Send>;

/// What comes to the hub from the fronts.
enum Command {
    Open { session: SessionId, identity: Identity, device: DeviceId, outlet: Outlet },
    Input(Input),
    View(View),
}

/// Where the relay's news go. It never blocks: a relay worker has packets to move.
#[derive(Debug, Clone)]
pub struct RelayEvents(mpsc::Sender<Input>);

impl RelayEvents {
    /// Tells the hub; says whether there was room. What is lost is a number in a call's record.
    pub fn tell(&self, input: Input) -> bool {
        self.0.try_send(input).is_ok()
    }
}

/// The other end of [`RelayEvents`], for the server to start with.
#[derive(Debug)]
pub struct RelayInbox(mpsc::Receiver<Input>);

/// Makes the queue between relay and hub. It exists before both: the relay is told of it when it
/// starts, and the hub is made when the relay's addresses are known.
pub fn relay_events() -> (RelayEvents, RelayInbox) {
    let (sender, receiver) = mpsc::channel(RELAY_QUEUE);
    (RelayEvents(sender), RelayInbox(receiver))
}

/// How the fronts and the REST API reach the hub.
#[derive(Debug, Clone)]
pub(super) struct HubHandle(mpsc::Sender<Command>);

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command")
    }
}

impl HubHandle {
    /// Opens a session; its first delivery says whether the hub took it.
    pub async fn open(&self, session: SessionId, identity: Identity, device: DeviceId) -> Inlet {
        let (outlet, inlet) = pipe();
        self.send(Command::Open { session, identity, device, outlet }).await;
        inlet
    }

    /// Tells the hub, waiting for room in its queue.
    pub async fn tell(&self, input: Input) {
        self.send(Command::Input(input)).await;
    }

    /// Tells the hub of a connection that is gone; does not wait.
    pub fn closed(&self, session: SessionId) {
        let command = Command::Input(Input::Closed { session });
        let Err(mpsc::error::TrySendError::Full(command)) = self.0.try_send(command) else {
            return;
        };
        // The queue is full for the moment; this must not be lost, and a drop cannot wait.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let hub = self.clone();
            runtime.spawn(async move { hub.send(command).await });
        }
    }

    /// Looks at the hub. `None` once the server has stopped.
    pub async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Hub, Now) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let view: View = Box::new(move |hub, now| {
            // Whoever asked may have gone away.
            let _ = sender.send(look(hub, now));
        });
        self.send(Command::View(view)).await;
        receiver.await.ok()
    }

    async fn send(&self, command: Command) {
        // The hub ends after everyone who talks to it; there is nobody to tell.
        let _ = self.0.send(command).await;
    }
}

/// Starts the task. It ends when the last handle is dropped.
pub(super) fn spawn(
    hub: Hub,
    relay: RelayInbox,
    on_call_ended: OnCallEnded,
    counters: Arc<Counters>,
) -> HubHandle {
    let (sender, commands) = mpsc::channel(QUEUE);
    let task = HubTask { hub, outlets: HashMap::new(), on_call_ended, counters };
    tokio::spawn(task.run(commands, relay.0));
    HubHandle(sender)
}

struct HubTask {
    hub: Hub,
    outlets: HashMap<SessionId, Outlet>,
    on_call_ended: OnCallEnded,
    counters: Arc<Counters>,
}

impl HubTask {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut relay: mpsc::Receiver<Input>,
    ) {
        loop {
            let due = self.hub.next_timeout();
            let timer = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.apply(command),
                    None => return,
                },
                Some(input) = relay.recv() => self.hub.handle(Now::read(), input),
                () = timer => self.hub.handle_timeout(Now::read()),
            }
            while let Some(output) = self.hub.poll_output() {
                self.put_out(output);
            }
        }
    }

    fn apply(&mut self, command: Command) {
        let now = Now::read();
        match command {
            Command::Open { session, identity, device, outlet } => {
                self.outlets.insert(session, outlet);
                self.hub.handle(now, Input::Open { session, identity, device });
            }
            Command::Input(input) => {
                if let Input::Closed { session } = &input {
                    self.outlets.remove(session);
                }
                self.hub.handle(now, input);
            }
            Command::View(view) => view(&self.hub, now),
        }
    }

    fn put_out(&mut self, output: Output) {
        match output {
            Output::Welcome { session, data } => self.deliver(session, Delivery::Welcome(data)),
            Output::Send { session, event } => self.deliver(session, Delivery::Event(event)),
            Output::Answer { session, id, answer } => {
                self.deliver(session, Delivery::Answer(id, answer));
            }
            Output::Close { session, reason } => {
                self.deliver(session, Delivery::Close(reason));
                self.outlets.remove(&session);
            }
            Output::CallEnded { call } => (self.on_call_ended)(call),
        }
    }

    /// Puts a message into a session's outbox. A full one means that the client does not read: its
    /// session ends here and now, for the hub must not wait for anyone.
    fn deliver(&mut self, session: SessionId, delivery: Delivery) {
        let Some(outlet) = self.outlets.get(&session) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = outlet.queue.try_send(Box::new(delivery)) {
            outlet.cut.notify_one();
            self.outlets.remove(&session);
            self.counters.slow_sessions.add();
            self.hub.handle(Now::read(), Input::Closed { session });
        }
    }
}
