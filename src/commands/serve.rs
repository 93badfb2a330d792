//! `callbox serve`: runs the server until it is told to stop.

use std::{
    future,
    io::{IsTerminal, Write},
    time::Duration,
};

use anyhow::Context;
use clap::CommandFactory;
use tracing_subscriber::EnvFilter;

use crate::{
    config::{self, Config, LogFormat, Options, RunOptions},
    server::{Ready, Server},
    sys,
};

/// Runs the server; returns after a graceful stop.
pub(super) fn run(options: Options) -> anyhow::Result<()> {
    init_log(&options.run);
    let names = std::env::vars_os().map(|(name, _)| name);
    for warning in config::unknown_variables(&super::Cli::command(), names) {
        tracing::warn!("{warning}");
    }
    let config = Config::new(options)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    make_room_for_sockets(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config));
    // What still runs belongs to clients that had their time to go.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Raises the limit of open files, and says so if that is not enough.
fn make_room_for_sockets(config: &Config) {
    let wanted = config.relay.turn.max_allocations as u64;
    match sys::raise_open_files() {
        Ok(limit) if limit < wanted => tracing::warn!(
            "this process may have {limit} open files, but --max-allocations is {wanted}: allocations \
             past that are refused with error 508; raise the limit (`ulimit -n`, LimitNOFILE=) or \
             lower --max-allocations"
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let (ready_json, lifetime) = (config.ready_json, config.lifetime);
    let dev = config.dev.is_some();
    // Before the listeners are up, so that no signal is missed once the ready line is out.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let server = Server::start(config).await?;
    announce(server.ready(), ready_json, dev)?;
    let over = after(lifetime);
    let mut over = std::pin::pin!(over);
    let why = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop(why) => break why,
                Signal::Reload => server.reload(),
            },
            () = over.as_mut() => break "the lifetime is over",
        }
    };
    tracing::info!("stopping: {why}");
    let mut stopped = std::pin::pin!(server.stop());
    loop {
        tokio::select! {
            () = stopped.as_mut() => return Ok(()),
            signal = signals.next() => if let Signal::Stop(why) = signal {
                tracing::warn!("stopping at once: {why} again");
                return Ok(());
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

/// Says that all is up and where.
fn announce(ready: &Ready, json: bool, dev: bool) -> anyhow::Result<()> {
    if json {
        let line = serde_json::to_string(ready)?;
        // Whoever waits for the line reads from a pipe: it must leave now.
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

/// Logs go to stderr; stdout is for the ready line.
///
/// Only what is logged by `tracing` is taken up. The dependencies that use the `log` crate print
/// whole frames at their finest levels, with tokens and descriptions in them.
fn init_log(options: &RunOptions) {
    let filter = EnvFilter::new(&options.log_level);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = match options.log_format {
        LogFormat::Text => {
            let colors = std::io::stderr().is_terminal();
            tracing::subscriber::set_global_default(builder.with_ansi(colors).finish())
        }
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish()),
    };
}

/// What the process is told from outside.
enum Signal {
    /// To stop, and by what.
    Stop(&'static str),
    /// To read again what may have changed.
    Reload,
}

/// Where that comes from.
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
