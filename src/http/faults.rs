//! The control of faults: it hands the parts of a document to those that inject them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use callbox_base::{
    clock::Now,
    faults::{Injected, Selector},
};
use callbox_relay::{FaultPlan, FaultTask};
use callbox_turn::faults::RequestFaults;
use rand::{RngCore, TryRngCore, rngs::OsRng};

use super::{
    hub_task::{EventFaults, FaultTask as HubFault, HubHandle, SessionFault},
    relay_orders::{InjectIntoRelay, RelayFault},
};
use crate::{
    faults::{
        ActionResult, EventFault, FaultAction, FaultDocument, FaultReport, InjectedFaults,
        PacketFault, RequestFault,
    },
    trace::Traces,
};

/// The faults that are in force.
#[derive(Debug, Clone)]
struct InForce {
    seed: u64,
    packets: Vec<PacketFault>,
    requests: Vec<RequestFault>,
    request_rules: Arc<RequestFaults>,
    events: Arc<EventFaults>,
    relay_gone_until: Option<Instant>,
}

/// The control of faults, on a server that allows them.
pub(super) struct Faults {
    inject_into_relay: InjectIntoRelay,
    hub: HubHandle,
    injected: Arc<Injected>,
    /// The traces that have what is injected, if there are any.
    traces: Option<Arc<Traces>>,
    in_force: Mutex<InForce>,
    /// Held while a document is executed, so that two do not mix.
    turn: tokio::sync::Mutex<()>,
}

impl Faults {
    pub(super) fn new(
        inject_into_relay: InjectIntoRelay,
        hub: HubHandle,
        traces: Option<Arc<Traces>>,
    ) -> Self {
        let injected = Arc::new(Injected::default());
        let in_force = InForce {
            seed: 0,
            packets: Vec::new(),
            requests: Vec::new(),
            request_rules: Arc::new(RequestFaults::new(Vec::new(), injected.clone())),
            events: Arc::new(EventFaults::new(&[], injected.clone())),
            relay_gone_until: None,
        };
        let (in_force, turn) = (Mutex::new(in_force), tokio::sync::Mutex::new(()));
        Self { inject_into_relay, hub, injected, traces, in_force, turn }
    }

    /// Returns the faults that are in force.
    pub(super) fn report(&self) -> FaultReport {
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let InForce { seed, packets, requests, request_rules, events, relay_gone_until } = in_force;
        let left = request_rules.rules().iter().map(|rule| Some(rule.left()));
        let with_left = |(fault, left)| RequestFault { left, ..fault };
        FaultReport {
            seed,
            packets,
            requests: requests.into_iter().zip(left).map(with_left).collect(),
            events: events.with_left(),
            relay_gone: relay_gone_until.is_some_and(|until| Instant::now() < until),
            actions: None,
            injected: self.injected(),
        }
    }

    /// Returns the numbers of faults.
    pub(super) fn injected(&self) -> InjectedFaults {
        InjectedFaults::read(&self.injected)
    }

    /// Replaces all faults by those of a document, and executes its actions. Returns `None` once
    /// the server has stopped.
    pub(super) async fn replace(&self, document: FaultDocument) -> Option<FaultReport> {
        let _turn = self.turn.lock().await;
        let seed = document.seed_or(OsRng.unwrap_err().next_u64());
        let FaultDocument { packets, requests, events, actions, .. } = document;
        self.trace_rules(&packets, &requests, &events);
        let rules = requests.iter().map(RequestFault::rule).collect();
        let in_force = InForce {
            seed,
            request_rules: Arc::new(RequestFaults::new(rules, self.injected.clone())),
            events: Arc::new(EventFaults::new(&events, self.injected.clone())),
            packets,
            requests,
            relay_gone_until: None,
        };
        let plan = FaultPlan {
            seed,
            packets: in_force.packets.iter().map(PacketFault::rule).collect(),
            requests: in_force.request_rules.clone(),
            injected: self.injected.clone(),
        };
        let is_off = plan.packets.is_empty() && in_force.requests.is_empty();
        let events = in_force.events.clone();
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = in_force;
        let plan = (!is_off).then(|| Arc::new(plan));
        (self.inject_into_relay)(RelayFault::Task(FaultTask::Replace(plan))).await;
        self.hub.inject(HubFault::Replace(events)).await?;
        let mut results = Vec::with_capacity(actions.len());
        for action in actions {
            let name = action.name();
            results.push(ActionResult { action: name, affected: self.execute(action).await? });
        }
        let report = FaultReport { actions: Some(results), ..self.report() };
        tracing::warn!(
            seed,
            packets = report.packets.len(),
            requests = report.requests.len(),
            events = report.events.len(),
            actions = report.actions.as_ref().map_or(0, Vec::len),
            "faults are injected as they were asked for"
        );
        Some(report)
    }

    /// Adds the rules to the traces of the live calls that they are for.
    fn trace_rules(
        &self,
        packets: &[PacketFault],
        requests: &[RequestFault],
        events: &[EventFault],
    ) {
        let Some(traces) = &self.traces else { return };
        let now = Now::read();
        packets.iter().for_each(|rule| traces.fault(now, &rule.selector, "packets"));
        requests.iter().for_each(|rule| traces.fault(now, &rule.selector, "requests"));
        events.iter().for_each(|rule| traces.fault(now, &rule.selector, "events"));
    }

    async fn execute(&self, action: FaultAction) -> Option<usize> {
        if let Some(traces) = &self.traces {
            let everybody = Selector::default();
            let selector = action.selector().unwrap_or(&everybody);
            traces.fault(Now::read(), selector, action.name());
        }
        let to_relay = |fault| (self.inject_into_relay)(fault);
        let to_sessions = |selector, fault| self.hub.inject(HubFault::Sessions(selector, fault));
        match action {
            FaultAction::ExpireCredentials { selector } => {
                let now = Now::read();
                let affected = to_relay(RelayFault::ExpireCredentials(now, selector)).await;
                // Credentials expire at whole seconds: those of this second are the same as before.
                let second = now.unix.subsec_nanos();
                tokio::time::sleep(Duration::from_secs(1) - Duration::from_nanos(second.into()))
                    .await;
                Some(affected)
            }
            FaultAction::DropAllocations { selector } => {
                Some(to_relay(RelayFault::Task(FaultTask::DropAllocations(selector))).await)
            }
            FaultAction::RelayGone { for_ms } => {
                let gone = Duration::from_millis(for_ms);
                let everybody = FaultTask::CountAllocations(Selector::default());
                let affected = to_relay(RelayFault::Task(everybody)).await;
                self.note_relay_gone(Instant::now() + gone);
                to_relay(RelayFault::Task(FaultTask::Outage(gone))).await;
                Some(affected)
            }
            FaultAction::CutSession { selector } => to_sessions(selector, SessionFault::Cut).await,
            FaultAction::HalfOpenSession { selector } => {
                to_sessions(selector, SessionFault::Silent(None)).await
            }
            FaultAction::StallSession { selector, for_ms } => {
                let time = Duration::from_millis(for_ms);
                to_sessions(selector, SessionFault::Silent(Some(time))).await
            }
        }
    }

    fn note_relay_gone(&self, until: Instant) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.relay_gone_until = Some(until);
    }
}
