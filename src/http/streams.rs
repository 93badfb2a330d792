//! The tasks that serve the streams of one HTTP/2 connection, each of them an exchange.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use hyper::rt::Executor;
use tokio::sync::Notify;

use super::{
    app::App,
    exchange::{End, Exchange},
    memory::Memory,
};

/// Runs a task for each stream, and ends it when necessary. A stream whose task has ended is reset
/// (RFC 9113 §5.4.2).
#[derive(Clone)]
pub(super) struct Streams {
    app: Arc<App>,
    memory: Memory,
    stalled: Arc<Notify>,
}

impl Streams {
    /// Creates the executor; the memory of streams is counted in `memory`.
    pub(super) fn new(app: Arc<App>, memory: Memory) -> Self {
        Self { app, memory, stalled: Arc::default() }
    }

    /// Completes once a stream was ended because its answer made no progress.
    pub(super) async fn stalled(&self) {
        self.stalled.notified().await;
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let (exchange, streams) = (Exchange::new(self.memory.clone()), self.clone());
        spawn_begun(async move {
            let Err(end) = exchange.serve(stream).await else { return };
            streams.app.counters.curbs(end.into()).add();
            if end == End::Stalled {
                streams.stalled.notify_one();
            }
        });
    }
}

/// Polls a task once here, and spawns the rest of it. A request is charged for its memory in that
/// first poll: one that waited for its turn before would not be counted, and there may be tens of
/// thousands while the processor is busy.
fn spawn_begun(task: impl Future<Output = ()> + Send + 'static) {
    let mut task = Box::pin(task);
    if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn a_stream_begins_before_the_next_one_is_read() {
        let (steps, go_on) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (shared, waiting) = (steps.clone(), go_on.clone());
        spawn_begun(async move {
            shared.fetch_add(1, Relaxed);
            waiting.notified().await;
            shared.fetch_add(1, Relaxed);
            waiting.notify_one();
        });
        assert_eq!(steps.load(Relaxed), 1, "no other task has had its turn");
        go_on.notify_one();
        while steps.load(Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    }
}
