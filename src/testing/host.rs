//! The thread with the runtime on which a server runs.

use std::{thread, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{FaultsError, StartError};
use crate::{
    config::Config,
    faults::{FaultDocument, FaultReport},
    server::{Ready, Server},
};

/// The time that blocking tasks have to end once the server is gone. There are only those that look
/// up names, of which some may wait for an answer.
const BLOCKING_TASKS: Duration = Duration::from_millis(500);

/// The result of a command about faults.
type Injected = Result<FaultReport, FaultsError>;

/// A command for the server.
enum Command {
    /// Replaces all faults by those of a document, or without one reports those in force.
    Faults(Option<FaultDocument>, oneshot::Sender<Injected>),
    /// Stops the server.
    Stop,
}

/// A server on a thread of its own. It ends when this is dropped.
pub(super) struct Host {
    /// The thread, until it was waited for.
    thread: Option<thread::JoinHandle<()>>,
    /// Dropping ends the server at once.
    commands: Option<mpsc::UnboundedSender<Command>>,
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
        let (commands, inbox) = mpsc::unbounded_channel();
        let (gone_sender, gone) = oneshot::channel();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let run = move || {
            tracing::dispatcher::with_default(&log, || run(config, ready_sender, inbox));
            // Nobody waits for it after a drop.
            let _ = gone_sender.send(());
        };
        let thread = thread::Builder::new().name("callbox-test".into()).spawn(run);
        let thread = thread.map_err(|error| StartError::Start(error.into()))?;
        let host = Self { thread: Some(thread), commands: Some(commands), gone };
        let ready = ready.await.unwrap_or_else(|_| {
            Err(StartError::Start(anyhow::anyhow!("the thread of the server has panicked")))
        })?;
        Ok((host, ready))
    }

    /// Replaces all faults by those of a document, or without one reports those in force.
    ///
    /// # Errors
    /// [`FaultsError::NotAllowed`] and [`FaultsError::Ended`].
    pub(super) async fn faults(&self, document: Option<FaultDocument>) -> Injected {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Faults(document, answer));
        answered.await.unwrap_or(Err(FaultsError::Ended))
    }

    /// Sends a command, which is lost if the server is gone.
    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }

    /// Stops the server, and returns when it is gone.
    pub(super) async fn stop(mut self) {
        self.send(Command::Stop);
        let _ = (&mut self.gone).await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic was printed by its thread.
            let _ = thread.join();
        }
    }
}

/// Runs a server until it is to stop or to end.
fn run(
    config: Config,
    ready: oneshot::Sender<Result<Ready, StartError>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
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
        if ready.send(Ok(server.ready().clone())).is_err() {
            return;
        }
        while let Some(command) = commands.recv().await {
            match command {
                Command::Faults(document, answer) => inject(&server, document, answer),
                Command::Stop => return server.stop().await,
            }
        }
    });
    // Drops the tasks with their sockets. Those of the relay were closed with the server.
    runtime.shutdown_timeout(BLOCKING_TASKS);
}

/// Injects faults in a task of its own, since actions may take a second, in which the server may be
/// told to end.
fn inject(server: &Server, document: Option<FaultDocument>, answer: oneshot::Sender<Injected>) {
    let control = server.fault_control();
    tokio::spawn(async move {
        let report = match (control, document) {
            (None, _) => Err(FaultsError::NotAllowed),
            (Some(control), None) => Ok(control.report()),
            (Some(control), Some(document)) => {
                control.replace(document).await.ok_or(FaultsError::Ended)
            }
        };
        // The test may have given up the wait.
        let _ = answer.send(report);
    });
}
