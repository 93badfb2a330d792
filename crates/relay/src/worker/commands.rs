//! The execution of the commands to a worker.

use std::sync::mpsc;

use callbox_base::clock::Now;

use super::{Worker, fault_tasks, outputs, stream_ends, stream_reading};
use crate::commands::Command;

/// Executes the pending commands. Returns true if the worker is to end.
pub(super) fn run_pending(worker: &mut Worker, now: Now) -> bool {
    loop {
        let command = match worker.inbox.try_recv() {
            Ok(command) => command,
            Err(mpsc::TryRecvError::Empty) => break,
            Err(mpsc::TryRecvError::Disconnected) => Command::Stop,
        };
        match command {
            Command::Stream(new) => stream_reading::open(worker, now, *new),
            Command::Forward { tuple, to } => worker.forwarding.forward(tuple, to),
            Command::Forget(tuple) => worker.forwarding.forget(tuple),
            Command::EndCall(call, sides) => worker.engine.end_call(call, &sides),
            Command::RevokeUser(call, user, sides) => {
                worker.engine.revoke_user(call, user.as_str(), &sides);
            }
            Command::Kick(order) => {
                let closed = worker.engine.kick(&order.user, order.calls.as_deref());
                outputs::execute(worker, now);
                // The caller may not wait for the answer any more.
                let _ = order.closed.send(closed);
            }
            Command::Fault(order) => {
                let concerned = fault_tasks::execute(worker, now, &order.task);
                outputs::execute(worker, now);
                // The caller may not wait for the answer any more.
                let _ = order.done.send(concerned);
            }
            Command::AddressesChanged => worker.engine.addresses_changed(),
            Command::Stop => {
                stop(worker, now);
                return true;
            }
            #[cfg(any(test, feature = "testing"))]
            Command::Panic => panic!("a test asked for this panic"),
        }
    }
    outputs::execute(worker, now);
    false
}

/// Closes everything that the worker has.
fn stop(worker: &mut Worker, now: Now) {
    worker.engine.close_all();
    outputs::execute(worker, now);
    worker.send();
    stream_ends::close_all(worker, now);
}
