//! The tasks that serve the streams of one connection of HTTP/2, each an exchange.

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

/// Runs a task for each stream, and ends it when it is time. A stream whose task has ended is reset
/// (RFC 9113 §5.4.2).
#[derive(Clone)]
pub(super) struct Streams {
    app: Arc<App>,
    memory: Memory,
    stalled: Arc<Notify>,
}

impl Streams {
    /// Counts what streams hold in this memory.
    pub fn new(app: Arc<App>, memory: Memory) -> Self {
        Self { app, memory, stalled: Arc::default() }
    }

    /// Returns once a stream was ended because its answer made no progress.
    pub async fn stalled(&self) {
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
            streams.app.counters.ended_requests(end).add();
            if end == End::Stalled {
                streams.stalled.notify_one();
            }
        });
    }
}

/// Begins a task here, and has the rest of it run as any other. A request pays for its memory as it
/// begins: one that waited for its turn before that would be counted by nobody, and while the
/// processor is busy there may be tens of thousands.
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
