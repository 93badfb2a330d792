//! `callbox serve`: runs the server until it is told to stop.

use std::{
    future,
    io::{IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, anyhow};
use callbox_sys as sys;
use clap::CommandFactory;
use tracing_subscriber::EnvFilter;

use crate::{
    commands::parent::Parent,
    config::{self, Config, LogFormat, Options, RunOptions},
    server::{Ready, Server},
};

/// Runs the server; returns after a graceful stop.
pub(super) fn run(options: Options) -> anyhow::Result<()> {
    let parent = Parent::watch(options.run.exit_with_parent)?;
    init_log(&options.run);
    let names = std::env::vars_os().map(|(name, _)| name);
    for warning in config::unknown_variables(&super::Cli::command(), names) {
        tracing::warn!("{warning}");
    }
    let mut config = Config::new(options)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    make_room_for_sockets(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config, parent));
    // The remaining tasks belong to clients that had their time to go.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Raises the limit of open files, and logs a warning if that is not enough.
fn make_room_for_sockets(config: &mut Config) {
    let wanted = config.relay.turn.max_allocations as u64;
    let limit = sys::raise_open_files();
    if let Ok(limit) = limit {
        config.http.open_files = usize::try_from(limit).unwrap_or(usize::MAX);
    }
    match limit {
        Ok(limit) if limit < wanted => tracing::warn!(
            "this process may have {limit} open files, but --max-allocations is {wanted}: allocations \
             past that are refused with error 508; raise the limit (`ulimit -n`, LimitNOFILE=) or \
             lower --max-allocations"
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
    }
}

async fn serve(config: Config, parent: Option<Parent>) -> anyhow::Result<()> {
    let (ready_json, lifetime) = (config.ready_json, config.lifetime);
    let dev = config.dev.is_some();
    // Before the listeners are up, so that no signal is missed once the ready line is out.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let server = Server::start(config).await?;
    announce(server.ready(), ready_json, dev)?;
    run_to_the_end(server, &mut signals, lifetime, parent).await
}

async fn run_to_the_end(
    server: Server,
    signals: &mut Signals,
    lifetime: Option<Duration>,
    parent: Option<Parent>,
) -> anyhow::Result<()> {
    let (over, broken) = (after(lifetime), server.broken());
    let (mut over, mut broken) = (std::pin::pin!(over), std::pin::pin!(broken));
    let mut orphaned = std::pin::pin!(end_of(parent));
    let (why, result) = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop(why) => break (why, Ok(())),
                Signal::Reload => server.reload(),
            },
            () = over.as_mut() => break ("the lifetime is over", Ok(())),
            () = orphaned.as_mut() => break ("the parent process has ended", Ok(())),
            // A status other than 0 asks the supervisor to start the server again.
            () = broken.as_mut() => break (
                "a relay worker has ended",
                Err(anyhow!(
                    "a relay worker has ended, and its clients with it (the log says why): the \
                     server has stopped to be started again"
                )),
            ),
        }
    };
    tracing::info!("stopping: {why}");
    let mut stopped = std::pin::pin!(server.stop());
    loop {
        tokio::select! {
            () = stopped.as_mut() => return result,
            signal = signals.next() => if let Signal::Stop(why) = signal {
                tracing::warn!("stopping at once: {why} again");
                return result;
            },
        }
    }
}

async fn after(lifetime: Option<Duration>) {
    match lifetime {
        Some(lifetime) => tokio::time::sleep(lifetime).await,
        None => future::pending().await,
    }
}

async fn end_of(parent: Option<Parent>) {
    match parent {
        Some(parent) => parent.ended().await,
        None => future::pending().await,
    }
}

/// Announces that the server is up, with its addresses.
fn announce(ready: &Ready, json: bool, dev: bool) -> anyhow::Result<()> {
    if json {
        let line = serde_json::to_string(ready)?;
        // The reader waits at a pipe, which is buffered.
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .context("cannot write to stdout")?;
    }
    tracing::info!(
        http = ready.http,
        websocket = ready.websocket,
        turn = ready.turn.join(" "),
        "callbox is up"
    );
    if dev && !json {
        eprintln!(
            "\n  callbox is up, for development: everything is on loopback, every secret is \
             generated.\n\n    Call someone     open {http}/ in two tabs\n    Get a token      \
             curl -d '{{\"userId\":\"alice\"}}' -H 'content-type: application/json' {http}/dev/token\
             \n    See it work      callbox check --url {http}\n    WebSocket        {ws}\n    \
             Socket.IO        {io}\n    TURN             {turn}\n",
            http = ready.http,
            ws = ready.websocket,
            io = ready.socket_io,
            turn = ready.turn.join("\n                     "),
        );
    }
    Ok(())
}

/// Sends log lines to stderr, since stdout is for the ready line.
///
/// Records of the `log` crate are not included: dependencies that use it print whole frames at
/// their finest levels, with tokens and descriptions in them.
fn init_log(options: &RunOptions) {
    let filter = EnvFilter::new(&options.log_level);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It reports a stderr that nobody reads on stderr, and panics when that fails.
        .log_internal_errors(false);
    // Only a test has a second subscriber in one process; the first one remains.
    let _ = match options.log_format {
        LogFormat::Text => {
            let colors = std::io::stderr().is_terminal();
            tracing::subscriber::set_global_default(builder.with_ansi(colors).finish())
        }
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish()),
    };
}

/// A signal to the process.
enum Signal {
    /// Stops the server; the name of the signal.
    Stop(&'static str),
    /// Reads the files again that may have changed.
    Reload,
}

/// The source of signals.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::Stop("Ctrl-C")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    use super::*;
    use crate::commands::Cli;

    const DEADLINE: Duration = Duration::from_secs(20);

    async fn start() -> Server {
        let args = "callbox serve --dev --http 127.0.0.1:0 --listen 127.0.0.1:0 --workers 2";
        let args: Vec<_> = args.split(' ').map(OsString::from).collect();
        let Ok(Cli::Serve(options)) = config::parse(&args, &|_| None) else {
            panic!("they are the server's options");
        };
        Server::start(Config::new(*options).unwrap()).await.unwrap()
    }

    async fn ask_whether_ready(server: &Server) -> String {
        let at = server.ready().http.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_server_that_has_lost_a_worker_says_so_and_fails() {
        let server = start().await;
        let mut signals = Signals::new().unwrap();
        assert!(ask_whether_ready(&server).await.starts_with("HTTP/1.1 200 "));
        server.break_relay();
        timeout(DEADLINE, server.broken()).await.expect("the loss is noticed");
        let answer = ask_whether_ready(&server).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\"code\":\"relay_broken\""), "{answer}");
        let end = timeout(DEADLINE, run_to_the_end(server, &mut signals, None, None)).await;
        let error = end.expect("it stops by itself").unwrap_err();
        assert!(error.to_string().starts_with("a relay worker has ended"), "{error}");
    }

    #[tokio::test]
    async fn a_server_whose_time_is_over_has_not_failed() {
        let mut signals = Signals::new().unwrap();
        let end = run_to_the_end(start().await, &mut signals, Some(Duration::ZERO), None);
        timeout(DEADLINE, end).await.expect("it stops by itself").unwrap();
    }
}
