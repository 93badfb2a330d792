//! The task that owns the hub: everything that happens to it comes through one bounded queue, and
//! what it wants done goes to bounded outboxes, one for each session.

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

/// Requests that wait for the hub. Past it, the connections that send more wait.
const QUEUE: usize = 1024;

/// The most requests that the hub takes at a time.
const BATCH: usize = 64;

/// The relay's news that wait for the hub.
const RELAY_QUEUE: usize = 16 * 1024;

/// How many of the longest messages that a client may send those that wait for a session may weigh
/// together: what a session that does not read can make the server hold.
const OUTBOX_MESSAGES: usize = 8;

/// The interval at which the relay's numbers of live calls are kept.
const KEEP_NUMBERS: Duration = Duration::from_secs(30);

/// What is told who has come into which room, or went out of it.
type OnMoved = Box<dyn Fn(CallId, &UserId) + Send>;

/// What is told which side of which call has announced addresses, to whom, and which.
type OnPeersAnnounced = Box<dyn Fn(CallId, &UserId, &UserId, &[IpAddr]) + Send>;

/// How the relay hears of calls. None of these may block: the hub waits for them.
pub struct TellRelay {
    /// A call is over.
    pub call_ended: Box<dyn Fn(CallId) + Send>,
    /// A user is in a room, perhaps again.
    pub readmit_user: OnMoved,
    /// A user is in a room no more.
    pub revoke_user: OnMoved,
    /// A user who was kicked has a new token.
    pub lift_kick: Box<dyn Fn(&UserId) + Send>,
    /// A side of a call has announced addresses. It has taken effect when this returns, since what
    /// is sent to clients next depends on it.
    pub peers_announced: OnPeersAnnounced,
}

type Act = Box<dyn FnOnce(&mut Hub, Now) + Send>;

/// What comes to the hub from the fronts.
enum Command {
    Open(Box<Opening>),
    /// From a connection, which goes by the name that it was opened with.
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
pub(super) struct HubHandle {
    commands: mpsc::Sender<Command>,
    /// How many bytes may wait for each session.
    outbox_bytes: usize,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command")
    }
}

impl HubHandle {
    /// Opens a session, or goes on with one; its first delivery says whether the hub took it. The
    /// connection goes by the name that is given here in either case.
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

    /// Tells the hub, waiting for room in its queue.
    pub fn tell(&self, input: Input) -> impl Future<Output = ()> {
        self.send(Command::Input(input))
    }

    /// Tells the hub of a connection that is gone; does not wait.
    pub fn closed(&self, input: Input) {
        let command = Command::Input(input);
        let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) else {
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
        self.act(|hub, now| look(hub, now)).await
    }

    /// Does something to the hub, for operators. `None` once the server has stopped.
    pub async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Hub, Now) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let act: Act = Box::new(move |hub, now| {
            // Whoever asked may have gone away.
            let _ = sender.send(act(hub, now));
        });
        self.send(Command::Act(act)).await;
        receiver.await.ok()
    }

    async fn send(&self, command: Command) {
        // Nearly always there is room, and then nothing to wait for. The hub ends after everyone who talks to
        // it; there is nobody to tell.
        if let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) {
            let _ = self.commands.send(command).await;
        }
    }
}

/// Starts the task. It ends when the last handle is dropped and the relay has stopped; once that has, what
/// changes of calls is in `log`, and `reports` are let go of. `max_message` is how long a message of a
/// client may be, in bytes.
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
    // Calls of the server before this one are handed over before anything else happens.
    task.execute_all();
    tokio::spawn(task.run(commands, relay.0));
    // What a session that goes on has missed comes all at once.
    let outbox_bytes = max_message.saturating_mul(OUTBOX_MESSAGES).max(2 * MAX_REPLAY_WEIGHT);
    HubHandle { commands: sender, outbox_bytes }
}

/// The timer of the task. It is set anew only for something earlier than it is set for: the hub's next
/// timer changes with nearly every input, and to tell the runtime of an earlier one wakes its thread
/// that waits for sockets. For something later it rings once too often, which does no harm.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(Duration::ZERO)))
    }

    /// Waits until then, or not even as long; for ever without a time.
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
    /// How what the hub asks for comes back to it.
    this: mpsc::WeakSender<Command>,
    connections: Connections,
    tell_relay: TellRelay,
    /// None once the relay has stopped.
    reports: Option<reports::Inbox>,
    /// The outputs that wait until changes are kept, where calls are kept.
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
                // With each of them comes what was due before it.
                count = commands.recv_many(&mut batch, BATCH), if is_open => {
                    is_open = count > 0;
                    for command in batch.drain(..) {
                        self.apply(command);
                        // The next command may be from a session that this one has made or moved.
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

    /// Sees to it that the next server has the live calls, with all that was relayed for them. If it
    /// cannot they are over.
    async fn keep_calls(&mut self) {
        let Some(held) = &mut self.held else { return };
        let is_kept = held.log().flush().await;
        let calls = self.hub.kept_calls();
        let (all, log) = (held.all(), held.log().clone());
        all.for_each(|ready| self.execute(ready));
        if !is_kept {
            // The log is out of date, and its calls would come back.
            log.discard().await;
            self.held = None;
            tracing::error!(calls, "calls cannot be kept, and end");
            self.hub.give_up_calls(Now::read());
            self.execute_all();
        } else if calls > 0 {
            tracing::info!(calls, "calls are kept for the next server");
        }
    }

    /// Keeps what changes with nothing else: the relay's numbers, and the time.
    fn keep_numbers(&mut self) {
        self.hub.keep_relayed();
        if let Some(held) = self.held.as_mut().filter(|_| self.hub.has_live_calls()) {
            held.keep_time(Now::read().unix_ms());
        }
    }

    /// Puts out what the hub wants done, as far as it need not be kept first.
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
            // A client that does not read is lost, and others hear of that.
            if is_done {
                return;
            }
        }
    }

    /// Takes what the hub wants done. It is put out at once where nothing is kept.
    fn collect(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            let ready = match output {
                // At once: later, it could undo a kick that came in between.
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
                // Its next outputs are in the name of the session.
                self.connections.claim(connection, session);
            }
            match &mut self.held {
                Some(held) => held.put(ready),
                None => self.execute(ready),
            }
        }
    }

    /// Makes a report ready to be handed on, and keeps it until whoever it is for has it.
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
                // What was due before it happens first, as with any input.
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
            // Seen to when they were taken from the hub.
            Output::Keep(_) | Output::Report(_) | Output::LiftKick { .. } => {}
        }
    }

    /// Asks, and hands the answer to the hub when it is there. Where nobody can be asked that is no.
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
                // The hub ends after everyone who talks to it.
                let _ = hub.send(Command::Input(Input::Held { call, hold })).await;
            }
        });
    }

    /// Puts a message into a session's outbox. A full one means that the client does not read: its
    /// connection ends here and now, for the hub must not wait for anyone.
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
