//! The task that owns the hub: all its input comes through one bounded queue, and its outputs go to
//! bounded queues, one for each session.

mod alarm;
mod faults;
mod handle;
mod relay;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use callbox_base::{clock::Now, ids::SessionId};
use callbox_signaling::{CallReport, Event, Hub, Input, MAX_REPLAY_WEIGHT, Output};
use tokio::sync::mpsc;

pub use self::relay::{RelayEvents, RelayInbox, TellRelay, relay_events};
use self::{
    alarm::Alarm,
    faults::{EventFate, HeldEvents},
    handle::{Command, Opening},
};
pub(super) use self::{
    faults::{EventFaults, FaultTask, SessionFault},
    handle::{HubHandle, Reply},
};
use super::{
    connections::Connections,
    counters::Counters,
    pending_outputs::{PendingOutput, PendingOutputs},
    session_queue::{Delivery, Outlet, TooSlow},
};
use crate::{
    reports,
    state_log::StateLog,
    trace::{EventFate as TracedFate, SessionChange, SignalingTrace, Traces},
};

/// The largest number of inputs that the hub takes at a time.
const BATCH: usize = 64;

/// The number of messages of the largest size that a client may send that may wait for a session:
/// the limit of the memory of a session that does not read.
const OUTBOX_MESSAGES: usize = 8;

/// The interval at which the relay's numbers of live calls are kept.
const KEEP_NUMBERS: Duration = Duration::from_secs(30);

/// The parts that the task is made of.
pub(super) struct Parts {
    pub hub: Hub,
    pub relay: RelayInbox,
    pub tell_relay: TellRelay,
    /// The receiver of reports. It is dropped once the relay has stopped and the changes of calls
    /// are in the log.
    pub reports: reports::Inbox,
    /// The log of calls, if they are stored.
    pub log: Option<StateLog>,
    /// The traces of calls, if there are any.
    pub traces: Option<Arc<Traces>>,
    pub counters: Arc<Counters>,
    /// The largest size of a client's message in bytes.
    pub max_message: usize,
}

/// Starts the task. It ends when the last handle is dropped and the relay has stopped.
pub(super) fn spawn(parts: Parts) -> HubHandle {
    let Parts { hub, relay, tell_relay, reports, log, traces, counters, max_message } = parts;
    // All that a resumed session has missed comes at once.
    let outbox_bytes = max_message.saturating_mul(OUTBOX_MESSAGES).max(2 * MAX_REPLAY_WEIGHT);
    let (handle, commands) = HubHandle::new(outbox_bytes);
    let mut task = HubTask {
        hub,
        this: handle.downgrade(),
        connections: Connections::default(),
        tell_relay,
        reports: Some(reports),
        pending: log.map(PendingOutputs::new),
        counters,
        faults: None,
        trace: traces.map(|traces| Box::new(SignalingTrace::new(traces))),
    };
    // Calls of the previous server are restored before any other input.
    task.execute_all();
    tokio::spawn(task.run(commands, relay));
    handle
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
    pending: Option<PendingOutputs>,
    counters: Arc<Counters>,
    /// The faults of events, while a test wants some.
    faults: Option<Box<HeldEvents>>,
    /// The traces of calls, if there are any.
    trace: Option<Box<SignalingTrace>>,
}

impl HubTask {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut relay: RelayInbox) {
        let mut is_open = true;
        let mut batch = Vec::with_capacity(BATCH);
        let mut alarm = Alarm::new();
        let mut numbers = tokio::time::interval(KEEP_NUMBERS);
        // The relay stops last, and has the last numbers.
        while is_open || self.reports.is_some() {
            let held = self.faults.as_ref().and_then(|faults| faults.next_due());
            let due = self.hub.next_timeout().into_iter().chain(held).min();
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
                () = PendingOutputs::changed(&mut self.pending) => {}
                () = alarm.rings(due) => self.hub.handle_timeout(Now::read()),
                _ = numbers.tick(), if self.pending.is_some() => self.keep_numbers(),
            }
            self.send_held();
            self.execute_all();
        }
    }

    /// Ensures that the next server has the live calls, with all that was relayed for them. They
    /// end if that fails.
    async fn keep_calls(&mut self) {
        let Some(pending) = &mut self.pending else { return };
        let is_kept = pending.log().flush().await;
        let calls = self.hub.kept_calls();
        let (all, log) = (pending.all(), pending.log().clone());
        all.for_each(|ready| self.execute(ready));
        if !is_kept {
            // The log is out of date, and its calls would be restored.
            log.discard().await;
            self.pending = None;
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
        if let Some(pending) = self.pending.as_mut().filter(|_| self.hub.has_live_calls()) {
            pending.keep_time(Now::read().unix_ms());
        }
    }

    /// Executes the outputs of the hub, as far as they need not be stored first.
    fn execute_all(&mut self) {
        loop {
            self.collect();
            let Some(pending) = &mut self.pending else { return };
            pending.commit(Now::read().unix_ms());
            let mut is_done = true;
            while let Some(ready) = self.pending.as_mut().and_then(PendingOutputs::next) {
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
                    if let Some(pending) = &mut self.pending {
                        pending.keep(change);
                    }
                    continue;
                }
                Output::Report(report) => match self.prepare(*report) {
                    Some(ready) => ready,
                    None => continue,
                },
                output => PendingOutput::Output(output),
            };
            if let PendingOutput::Output(Output::Resumed { connection, session }) = ready {
                // Its next outputs are under the id of the session.
                self.connections.claim(connection, session);
            }
            self.put(ready);
        }
    }

    /// Executes an output, once the changes before it are stored.
    fn put(&mut self, ready: PendingOutput) {
        match &mut self.pending {
            Some(pending) => pending.put(ready),
            None => self.execute(ready),
        }
    }

    /// Prepares a report for sending, and stores it until its receiver has it.
    fn prepare(&mut self, report: CallReport) -> Option<PendingOutput> {
        if let Some(trace) = &self.trace {
            trace.report(Now::read(), &report);
        }
        let (prepared, changes) = self.reports.as_mut()?.prepare(report);
        if let Some(pending) = &mut self.pending {
            changes.into_iter().for_each(|change| pending.keep(change));
        }
        Some(PendingOutput::Report(Box::new(prepared)))
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
                    if let Some(trace) = &mut self.trace {
                        trace.input(&self.hub, now, &input);
                    }
                    self.hub.handle(now, input);
                }
            }
            Command::Fault(task, done) => {
                let affected = self.inject(now, task);
                // The caller may have gone away.
                let _ = done.send(affected);
            }
            Command::Act(act) => {
                // Timers that were due are handled first, as with any input.
                self.hub.handle_timeout(now);
                if let Some(reply) = act(&mut self.hub, now) {
                    self.collect();
                    self.put(PendingOutput::Reply(reply));
                }
            }
        }
    }

    fn execute(&mut self, ready: PendingOutput) {
        let output = match ready {
            PendingOutput::Output(output) => output,
            PendingOutput::Report(prepared) => {
                if let Some(reports) = &mut self.reports {
                    reports.put(*prepared);
                }
                return;
            }
            PendingOutput::Reply(reply) => return reply(),
        };
        match output {
            Output::Welcome { session, data } => self.deliver(session, Delivery::Welcome(data)),
            Output::Resumed { connection, session } => {
                if let Some(faults) = &mut self.faults {
                    faults.forget(session);
                }
                self.connections.resume(connection, session);
                if let Some(trace) = &self.trace {
                    trace.session(&self.hub, Now::read(), session, SessionChange::Resumed);
                }
            }
            Output::Send { session, seq, event } if self.faults.is_some() => {
                self.deliver_with_faults(session, seq, event);
            }
            Output::Send { session, seq, event } => {
                self.trace_event(session, &event, None);
                self.deliver(session, Delivery::Event(event, seq));
            }
            Output::Answer { session, id, answer } => {
                if let Some(trace) = &mut self.trace {
                    trace.answer(session, id, &answer);
                }
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
        let decision = self.reports.as_mut().and_then(|reports| reports.ask_to_hold(report));
        let this = self.this.clone();
        tokio::spawn(async move {
            let hold = match decision {
                Some(decision) => decision.await,
                None => false,
            };
            if let Some(hub) = this.upgrade() {
                // The hub ends after all its senders.
                let _ = hub.send(Command::Input(Input::HoldDecision { call, hold })).await;
            }
        });
    }

    /// Injects faults. Returns the number of sessions that they concern.
    fn inject(&mut self, now: Now, task: FaultTask) -> usize {
        match task {
            FaultTask::Replace(faults) => {
                self.connections.outlets().for_each(Outlet::end_silence);
                let new = (!faults.is_empty()).then(|| Box::new(HeldEvents::new(faults)));
                if let Some(before) = std::mem::replace(&mut self.faults, new) {
                    for (session, event) in before.into_events() {
                        self.deliver(session, Delivery::Event(event, None));
                    }
                }
                0
            }
            FaultTask::Sessions(selector, fault) => {
                let sessions = faults::sessions(&self.hub, now, &selector);
                let outlets = sessions.iter().filter_map(|id| self.connections.outlet(*id));
                let inject = |outlet: &Outlet| match fault {
                    SessionFault::Cut => outlet.sever(),
                    SessionFault::Silent(time) => {
                        outlet.silence(time.map(|time| now.instant + time));
                    }
                };
                outlets.map(inject).count()
            }
        }
    }

    /// Sends an event, as the faults want it. One that is held back has no number when it is sent:
    /// its client has numbers after it by then, and would take it for a repetition.
    fn deliver_with_faults(&mut self, session: SessionId, seq: Option<u64>, event: Event) {
        let Some(faults) = &mut self.faults else { return };
        let fate = faults.judge(&self.hub, Now::read().instant, session, event);
        match fate {
            EventFate::Once(event) => {
                self.trace_event(session, &event, None);
                self.deliver(session, Delivery::Event(event, seq));
            }
            EventFate::Twice(event) => {
                self.trace_event(session, &event, Some(TracedFate::Duplicated));
                self.deliver(session, Delivery::Event(event.clone(), seq));
                self.deliver(session, Delivery::Event(event, seq));
            }
            EventFate::Dropped(event) => {
                self.trace_event(session, &event, Some(TracedFate::Dropped));
            }
            EventFate::Held(event) => {
                self.trace_event(session, &event, Some(TracedFate::Delayed));
            }
        }
    }

    /// Adds an event to the trace of its call.
    fn trace_event(&self, session: SessionId, event: &Event, fault: Option<TracedFate>) {
        if let Some(trace) = &self.trace {
            trace.event(&self.hub, Now::read(), session, event, fault);
        }
    }

    /// Sends the events that have been held back long enough.
    fn send_held(&mut self) {
        while let Some(faults) = &mut self.faults
            && let Some((session, event)) = faults.pop(Now::read().instant)
        {
            self.trace_event(session, &event, None);
            self.deliver(session, Delivery::Event(event, None));
        }
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
