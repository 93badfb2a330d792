//! The listeners that accept connections.

use std::{
    io, net,
    time::{Duration, Instant},
};

use callbox_base::addresses::canonical;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use super::{Role, Wiring, connection};

/// The longest time that open requests may take to be answered when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// A bound listener in non-blocking mode.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: net::TcpListener,
    /// The protocols that it serves.
    pub role: Role,
}

/// The running listeners.
#[derive(Debug)]
pub struct Acceptor {
    tasks: Vec<JoinHandle<()>>,
}

impl Acceptor {
    /// Accepts from these listeners until HTTP stops.
    ///
    /// # Errors
    /// The system's error for a listener.
    pub fn start(listeners: Vec<Listener>, wiring: &Wiring) -> io::Result<Self> {
        let listeners = listeners
            .into_iter()
            .map(|listener| Ok((TcpListener::from_std(listener.socket)?, listener.role)))
            .collect::<io::Result<Vec<_>>>()?;
        let start = |(socket, role)| tokio::spawn(accept(socket, role, wiring.clone()));
        Ok(Self { tasks: listeners.into_iter().map(start).collect() })
    }

    /// Completes when everything has ended: the listeners are closed, and the connections have
    /// ended or were dropped.
    pub async fn stopped(self) {
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

async fn accept(listener: TcpListener, role: Role, wiring: Wiring) {
    let mut tasks = JoinSet::new();
    let mut complained: Option<Instant> = None;
    let mut stopping = std::pin::pin!(wiring.http.stopping());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.as_mut() => break,
            Some(_) = tasks.join_next() => continue,
        };
        match accepted {
            Ok((stream, remote)) => {
                // Small messages must not be delayed.
                let _ = stream.set_nodelay(true);
                let remote = canonical(remote);
                tasks.spawn(connection::arrived(stream, remote, role, wiring.clone()));
            }
            // The client is gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Most likely there are no file descriptors left. Some get free with time, and
                // until then each attempt would fail as this one did.
                if complained.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    complained = Some(Instant::now());
                    tracing::error!(%error, "cannot accept connections for now");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // No new connections are accepted; open ones finish their requests.
    drop(listener);
    let done = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, done).await;
}
