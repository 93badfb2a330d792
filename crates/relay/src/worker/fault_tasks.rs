//! The execution of what a test wants to fail, and the packets that were held back for it.

use std::sync::Arc;

use callbox_base::clock::Now;

use super::{Worker, traffic};
use crate::{
    commands::FaultTask,
    packet_faults::{FaultPlan, PacketFaults},
};

/// Executes a task. Returns the number of allocations that it concerns.
pub(super) fn execute(worker: &mut Worker, now: Now, task: &FaultTask) -> usize {
    match task {
        FaultTask::Replace(plan) => replace(worker, now, plan.clone()),
        FaultTask::DropAllocations(selector) => return worker.engine.drop_allocations(selector),
        FaultTask::CountAllocations(selector) => return worker.engine.count_allocations(selector),
        FaultTask::Outage(duration) => worker.outage.begin(now.instant + *duration),
    }
    0
}

/// Replaces the faults. Packets that are held back are sent now.
fn replace(worker: &mut Worker, now: Now, plan: Option<Arc<FaultPlan>>) {
    worker.outage.end();
    worker.engine.set_request_faults(plan.as_ref().map(|plan| plan.requests.clone()));
    let before = std::mem::replace(&mut worker.packet_faults, plan.and_then(PacketFaults::new));
    if let Some(mut before) = before {
        while let Some((packet, bytes)) = before.pop_any() {
            traffic::send_routed(worker, now, packet, &bytes);
        }
    }
}

/// Sends the packets that have been held back long enough.
pub(super) fn send_due(worker: &mut Worker, now: Now) {
    while let Some(faults) = &mut worker.packet_faults
        && let Some((packet, bytes)) = faults.pop(now.instant)
    {
        if !worker.outage.is_on(now.instant) {
            traffic::send_routed(worker, now, packet, &bytes);
        }
    }
}
