//! The thread with the runtime on which a server runs.

use std::{thread, time::Duration};

use tokio::sync::oneshot;

use super::StartError;
use crate::{
    config::Config,
    server::{Ready, Server},
};

/// The time that blocking tasks have to end once the server is gone. There are only those that look
/// up names, of which some may wait for an answer.
const BLOCKING_TASKS: Duration = Duration::from_millis(500);

/// A server on a thread of its own. It ends when this is dropped.
pub(super) struct Host {
    /// The thread, until it was waited for.
    thread: Option<thread::JoinHandle<()>>,
    /// Sending stops the server; dropping ends it at once.
    stop: Option<oneshot::Sender<()>>,
    /// Completes when the server is gone.
    gone: oneshot::Receiver<()>,
}

impl Host {
    /// Starts a server, and returns its addresses.
    ///
    /// # Errors
    /// [`StartError::Start`]; nothing is left running then.
    pub(super) async fn start(config: Config) -> Result<(Self, Ready), StartError> {
        let (ready_sender, ready) = oneshot::channel();
        let (stop, stopping) = oneshot::channel();
        let (gone_sender, gone) = oneshot::channel();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let run = move || {
            tracing::dispatcher::with_default(&log, || run(config, ready_sender, stopping));
            // Nobody waits for it after a drop.
            let _ = gone_sender.send(());
        };
        let thread = thread::Builder::new().name("callbox-test".into()).spawn(run);
        let thread = thread.map_err(|error| StartError::Start(error.into()))?;
        let host = Self { thread: Some(thread), stop: Some(stop), gone };
        let ready = ready.await.unwrap_or_else(|_| {
            Err(StartError::Start(anyhow::anyhow!("the thread of the server has panicked")))
        })?;
        Ok((host, ready))
    }

    /// Stops the server, and returns when it is gone.
    pub(super) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // Unless it is gone already.
            let _ = stop.send(());
        }
        let _ = (&mut self.gone).await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was printed by its thread.
            let _ = thread.join();
        }
    }
}

/// Runs a server until it is stopped.
fn run(
    config: Config,
    ready: oneshot::Sender<Result<Ready, StartError>>,
    stopping: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(StartError::Start(error.into())));
            return;
        }
    };
    runtime.block_on(async {
        let server = match Server::start(config).await {
            Ok(server) => server,
            Err(error) => {
                let _ = ready.send(Err(StartError::Start(error.into())));
                return;
            }
        };
        let is_awaited = ready.send(Ok(server.ready().clone())).is_ok();
        if is_awaited && stopping.await.is_ok() {
            server.stop().await;
        }
    });
    // Drops the tasks with their sockets. Those of the relay were closed with the server.
    runtime.shutdown_timeout(BLOCKING_TASKS);
}
