//! The tasks that serve the streams of one connection of HTTP/2, each an exchange.

use std::sync::Arc;

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
        tokio::spawn(async move {
            let Err(end) = exchange.serve(stream).await else { return };
            streams.app.counters.ended_requests(end).add();
            if end == End::Stalled {
                streams.stalled.notify_one();
            }
        });
    }
}
