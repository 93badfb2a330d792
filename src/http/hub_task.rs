//! The task that owns the hub: all its input comes through one bounded queue, and its outputs go to
//! bounded queues, one for each session.

use std::{
    future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};
use callbox_signaling::{CallReport, Hub, Input, MAX_REPLAY_WEIGHT, Output, Resume, jwt::Identity};
use tokio::{
    sync::{mpsc, oneshot},
    time::Sleep,
};

use super::{
    connections::Connections,
    counters::Counters,
    held::{Held, Ready},
    session_queue::{Delivery, Inlet, Outlet, TooSlow, pipe},
};
use crate::{reports, state_log::StateLog};

#[cfg(test)]
mod tests;

/// The number of inputs that wait for the hub. When it is reached, the connections that send more
/// wait.
const QUEUE: usize = 1024;

/// The largest number of inputs that the hub takes at a time.
const BATCH: usize = 64;

/// The number of the relay's events that wait for the hub.
const RELAY_QUEUE: usize = 16 * 1024;

/// The number of messages of the largest size that a client may send that may wait for a session:
/// the limit of the memory of a session that does not read.
const OUTBOX_MESSAGES: usize = 8;

/// The interval at which the relay's numbers of live calls are kept.
const KEEP_NUMBERS: Duration = Duration::from_secs(30);

/// Called with a room and a user who has joined or left it.
type OnMoved = Box<dyn Fn(CallId, &UserId) + Send>;

/// Called with a call, the side that has announced addresses, the other side, and the addresses.
type OnPeersAnnounced = Box<dyn Fn(CallId, &UserId, &UserId, &[IpAddr]) + Send>;

/// The calls by which the relay is told of calls. None of these may block: the hub waits for them.
pub struct TellRelay {
    /// A call is over.
    pub call_ended: Box<dyn Fn(CallId) + Send>,
    /// A user is in a room, perhaps again.
    pub readmit_user: OnMoved,
    /// A user is in a room no more.
    pub revoke_user: OnMoved,
    /// A user who was kicked has a new token.
    pub lift_kick: Box<dyn Fn(&UserId) + Send>,
    /// A side of a call has announced addresses. It has taken effect when this returns, since
    /// messages that are sent to clients next depend on it.
    pub peers_announced: OnPeersAnnounced,
}

type Act = Box<dyn FnOnce(&mut Hub, Now) + Send>;

/// The input of the task from the HTTP side.
enum Command {
    Open(Box<Opening>),
    /// From a connection, under the id that it was opened with.
    Input(Input),
    Act(Act),
}

/// A connection that is to carry a session.
struct Opening {
    connection: SessionId,
    identity: Box<Identity>,
    device: Option<DeviceId>,
    resume: Resume,
    outlet: Outlet,
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

/// Creates the queue between relay and hub. It exists before both: the relay gets it when it
/// starts, and the hub is created when the relay's addresses are known.
pub fn relay_events() -> (RelayEvents, RelayInbox) {
    let (sender, receiver) = mpsc::channel(RELAY_QUEUE);
    (RelayEvents(sender), RelayInbox(receiver))
}

/// The handle by which the HTTP side reaches the hub.
#[derive(Debug, Clone)]
pub(super) struct HubHandle {
    commands: mpsc::Sender<Command>,
    /// The number of bytes that may wait for each session.
    outbox_bytes: usize,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command")
    }
}

impl HubHandle {
    /// Opens or resumes a session; its first delivery tells if the hub accepted it. The connection
    /// has the id that is given here in either case.
    pub async fn open(
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
    pub fn tell(&self, input: Input) -> impl Future<Output = ()> {
        self.send(Command::Input(input))
    }

    /// Reports a connection that is gone to the hub; does not wait.
    pub fn closed(&self, input: Input) {
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
    pub async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Hub, Now) -> T + Send + 'static,
    ) -> Option<T> {
        self.act(|hub, now| look(hub, now)).await
    }

    /// Executes an action on the hub, for operators. Returns `None` once the server has stopped.
    pub async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Hub, Now) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let act: Act = Box::new(move |hub, now| {
            // The caller may have gone away.
            let _ = sender.send(act(hub, now));
        });
        self.send(Command::Act(act)).await;
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

/// Starts the task. It ends when the last handle is dropped and the relay has stopped; once that
/// has, the changes of calls are in `log`, and `reports` is dropped. `max_message` is the largest
/// size of a client's message in bytes.
pub(super) fn spawn(
    hub: Hub,
    relay: RelayInbox,
    tell_relay: TellRelay,
    reports: reports::Inbox,
    log: Option<StateLog>,
    counters: Arc<Counters>,
    max_message: usize,
) -> HubHandle {
    let (sender, commands) = mpsc::channel(QUEUE);
    let connections = Connections::default();
    let (reports, held) = (Some(reports), log.map(Held::new));
    let this = sender.downgrade();
    let mut task = HubTask { hub, this, connections, tell_relay, reports, held, counters };
    // Calls of the previous server are restored before any other input.
    task.execute_all();
    tokio::spawn(task.run(commands, relay.0));
    // All that a resumed session has missed comes at once.
    let outbox_bytes = max_message.saturating_mul(OUTBOX_MESSAGES).max(2 * MAX_REPLAY_WEIGHT);
    HubHandle { commands: sender, outbox_bytes }
}

/// The timer of the task. It is set again only for a time earlier than the one it is set for: the
/// hub's next timer changes with nearly every input, and setting an earlier one wakes the runtime's
/// thread that waits for sockets. For a later one it fires once too often, which does no harm.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(Duration::ZERO)))
    }

    /// Waits until `due`, or less; for ever without a time.
    async fn rings(&mut self, due: Option<Instant>) {
        let Some(due) = due else { return future::pending().await };
        let due = due.into();
        if self.0.is_elapsed() || self.0.deadline() > due {
            self.0.as_mut().reset(due);
        }
        self.0.as_mut().await;
    }
}

struct HubTask {
    hub: Hub,
    /// The sender by which answers to the hub's questions return to it.
    this: mpsc::WeakSender<Command>,
    connections: Connections,
    tell_relay: TellRelay,
    /// `None` once the relay has stopped.
    reports: Option<reports::Inbox>,
    /// The outputs that wait until changes are stored, if calls are stored.
    held: Option<Held>,
    counters: Arc<Counters>,
}

impl HubTask {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut relay: mpsc::Receiver<Input>,
    ) {
        let mut is_open = true;
        let mut batch = Vec::with_capacity(BATCH);
        let mut alarm = Alarm::new();
        let mut numbers = tokio::time::interval(KEEP_NUMBERS);
        // The relay stops last, and has the last numbers.
        while is_open || self.reports.is_some() {
            let due = self.hub.next_timeout();
            tokio::select! {
                biased;
                input = relay.recv(), if self.reports.is_some() => {
                    let stopped = input.is_none();
                    self.hub.handle(Now::read(), input.unwrap_or(Input::RelayStopped));
                    if stopped {
                        self.execute_all();
                        self.keep_calls().await;
                        self.reports = None;
                    }
                }
                // Timers that were due are handled before each of them.
                count = commands.recv_many(&mut batch, BATCH), if is_open => {
                    is_open = count > 0;
                    for command in batch.drain(..) {
                        self.apply(command);
                        // The next command may be from a session that this one has created or
                        // moved.
                        self.collect();
                    }
                }
                () = Held::changed(&mut self.held) => {}
                () = alarm.rings(due) => self.hub.handle_timeout(Now::read()),
                _ = numbers.tick(), if self.held.is_some() => self.keep_numbers(),
            }
            self.execute_all();
        }
    }

    /// Ensures that the next server has the live calls, with all that was relayed for them. They
    /// end if that fails.
    async fn keep_calls(&mut self) {
        let Some(held) = &mut self.held else { return };
        let is_kept = held.log().flush().await;
        let calls = self.hub.kept_calls();
        let (all, log) = (held.all(), held.log().clone());
        all.for_each(|ready| self.execute(ready));
        if !is_kept {
            // The log is out of date, and its calls would be restored.
            log.discard().await;
            self.held = None;
            tracing::error!(calls, "calls cannot be kept, and end");
            self.hub.give_up_calls(Now::read());
            self.execute_all();
        } else if calls > 0 {
            tracing::info!(calls, "calls are kept for the next server");
        }
    }

    /// Stores what changes without any output: the relay's numbers, and the time.
    fn keep_numbers(&mut self) {
        self.hub.keep_relayed();
        if let Some(held) = self.held.as_mut().filter(|_| self.hub.has_live_calls()) {
            held.keep_time(Now::read().unix_ms());
        }
    }

    /// Executes the outputs of the hub, as far as they need not be stored first.
    fn execute_all(&mut self) {
        loop {
            self.collect();
            let Some(held) = &mut self.held else { return };
            held.commit(Now::read().unix_ms());
            let mut is_done = true;
            while let Some(ready) = self.held.as_mut().and_then(Held::next) {
                is_done = false;
                ready.into_iter().for_each(|ready| self.execute(ready));
            }
            // A client that does not read is lost, and others are told of that.
            if is_done {
                return;
            }
        }
    }

    /// Takes the outputs of the hub. They are executed at once if nothing is stored.
    fn collect(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            let ready = match output {
                // This is executed at once: later, it could undo a kick that came in between.
                Output::LiftKick { user } => {
                    (self.tell_relay.lift_kick)(&user);
                    continue;
                }
                Output::Keep(change) => {
                    if let Some(held) = &mut self.held {
                        held.keep(change);
                    }
                    continue;
                }
                Output::Report(report) => match self.prepare(*report) {
                    Some(ready) => ready,
                    None => continue,
                },
                output => Ready::Output(output),
            };
            if let Ready::Output(Output::Resumed { connection, session }) = ready {
                // Its next outputs are under the id of the session.
                self.connections.claim(connection, session);
            }
            match &mut self.held {
                Some(held) => held.put(ready),
                None => self.execute(ready),
            }
        }
    }

    /// Prepares a report for sending, and stores it until its receiver has it.
    fn prepare(&mut self, report: CallReport) -> Option<Ready> {
        let (prepared, changes) = self.reports.as_mut()?.prepare(report);
        if let Some(held) = &mut self.held {
            changes.into_iter().for_each(|change| held.keep(change));
        }
        Some(Ready::Report(Box::new(prepared)))
    }

    fn apply(&mut self, command: Command) {
        let now = Now::read();
        match command {
            Command::Open(opening) => {
                let Opening { connection, identity, device, resume, outlet } = *opening;
                self.connections.open(connection, outlet);
                let session = connection;
                self.hub.handle(now, Input::Open { session, identity, device, resume });
            }
            Command::Input(input) => {
                if let Some(input) = self.connections.name(input) {
                    self.hub.handle(now, input);
                }
            }
            Command::Act(act) => {
                // Timers that were due are handled first, as with any input.
                self.hub.handle_timeout(now);
                act(&mut self.hub, now);
            }
        }
    }

    fn execute(&mut self, ready: Ready) {
        let output = match ready {
            Ready::Output(output) => output,
            Ready::Report(prepared) => {
                if let Some(reports) = &mut self.reports {
                    reports.put(*prepared);
                }
                return;
            }
        };
        match output {
            Output::Welcome { session, data } => self.deliver(session, Delivery::Welcome(data)),
            Output::Resumed { connection, session } => self.connections.resume(connection, session),
            Output::Send { session, seq, event } => {
                self.deliver(session, Delivery::Event(event, seq));
            }
            Output::Answer { session, id, answer } => {
                self.deliver(session, Delivery::Answer(id, answer));
            }
            Output::Close { session, reason } => {
                self.deliver(session, Delivery::Close(reason));
                let _ = self.connections.remove(session);
            }
            Output::CallEnded { call } => {
                tracing::debug!(%call, "call over");
                (self.tell_relay.call_ended)(call);
            }
            Output::ReadmitUser { call, user } => (self.tell_relay.readmit_user)(call, &user),
            Output::RevokeUser { call, user } => (self.tell_relay.revoke_user)(call, &user),
            Output::PeersAnnounced { call, by, to, addresses } => {
                (self.tell_relay.peers_announced)(call, &by, &to, &addresses);
            }
            Output::AskToHold(report) => self.ask_to_hold(*report),
            // They were handled when they were taken from the hub.
            Output::Keep(_) | Output::Report(_) | Output::LiftKick { .. } => {}
        }
    }

    /// Asks the webhook, and passes the answer to the hub. If nobody can be asked, the answer is
    /// no.
    fn ask_to_hold(&mut self, report: CallReport) {
        let call = report.call.id;
        let asked = self.reports.as_mut().and_then(|reports| reports.ask_to_hold(report));
        let this = self.this.clone();
        tokio::spawn(async move {
            let hold = match asked {
                Some(asked) => asked.await,
                None => false,
            };
            if let Some(hub) = this.upgrade() {
                // The hub ends after all its senders.
                let _ = hub.send(Command::Input(Input::Held { call, hold })).await;
            }
        });
    }

    /// Puts a message into a session's queue. If it is full, the client does not read: its
    /// connection is closed at once, for the hub must not wait for any client.
    fn deliver(&mut self, session: SessionId, delivery: Delivery) {
        let Some(outlet) = self.connections.outlet(session) else { return };
        if let Err(TooSlow) = outlet.put(delivery) {
            self.counters.slow_sessions.add();
            let Some(removed) = self.connections.remove(session) else { return };
            removed.outlet.cut();
            // If another connection carries the session by now, it is not lost.
            if removed.carried {
                self.hub.handle(Now::read(), Input::Lost { session });
            }
        }
    }
}
