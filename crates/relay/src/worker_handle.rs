//! The handle of a running worker, and the answer of all workers to a kick.

use std::{sync::Arc, thread::JoinHandle};

use callbox_turn::Metrics;
use tokio::sync::mpsc::UnboundedReceiver;

use super::commands::{Command, CommandSender};

/// The handle of a running worker.
pub(super) struct WorkerHandle {
    commands: CommandSender,
    metrics: Arc<Metrics>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerHandle {
    pub(crate) fn new(
        commands: CommandSender,
        metrics: Arc<Metrics>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self { commands, metrics, thread: Some(thread) }
    }

    /// Sends a command to the worker.
    pub(crate) fn send(&self, command: Command) {
        self.commands.send(command);
    }

    /// Returns the worker's counters.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits until the worker has ended.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The supervisor has logged how it ended.
            let _ = thread.join();
        }
    }
}

/// Allocations that are being closed.
#[derive(Debug)]
pub struct Closing(UnboundedReceiver<usize>);

impl Closing {
    /// Takes over the channel on which each worker reports its number once.
    pub(super) fn new(closed: UnboundedReceiver<usize>) -> Self {
        Self(closed)
    }

    /// Waits until they are closed, and returns their number.
    pub async fn closed(mut self) -> usize {
        let mut sum = 0;
        // The channel ends once each worker has answered or has ended.
        while let Some(closed) = self.0.recv().await {
            sum += closed;
        }
        sum
    }
}
