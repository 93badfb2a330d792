//! The data plane: one worker per CPU core, each with its own sockets and its own allocations,
//! driving the protocol core in [`turn`].
//!
//! A worker is one OS thread around one `epoll` (kqueue, IOCP): it reads what is ready into the
//! slots of its one buffer, asks the core for the destination of each datagram, and sends the
//! datagrams from their slots. On that path there is no lock, no heap allocation and no log line.
//! With several workers each listener is bound once for each of them (`SO_REUSEPORT`), and the
//! kernel always delivers a client's datagrams to the same one.
#![forbid(unsafe_code)]

mod address_watch;
mod advertised;
mod alternate;
mod batches;
mod coalesce;
mod commands;
mod external;
mod forwarding;
mod hot_peer;
mod listen;
mod listeners;
mod log_lines;
mod log_throttle;
mod losses;
mod new_stream;
mod open_runs;
mod outgoing;
mod peer_connection;
mod peer_connections;
mod plan;
mod ready;
mod relay_sockets;
mod sockets;
mod source;
mod stream;
mod stream_activity;
mod streams;
mod supervisor;
mod worker;
mod worker_ring;

use std::{
    future, io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use callbox_sys as sys;
use callbox_turn::{self as turn, Common, Event, ExternalIp, Metrics, Snapshot, auth::TurnAuth};
use mio::Poll;
use tokio::sync::{
    mpsc::{UnboundedReceiver, unbounded_channel},
    watch,
};

use self::{
    address_watch::AddressWatch,
    commands::{Command, CommandSender, KickOrder},
    worker::{Parts, Worker},
};
pub use self::{
    advertised::Reached,
    new_stream::NewStream,
    plan::{Plan, probe},
};
pub use self::{
    listen::{takes_ipv4, with_ipv4},
    sockets::{listen_tcp, listen_tcp_dual},
};

/// The default for the longest time that datagrams are coalesced at a high rate.
pub const GATHER: Duration = Duration::from_millis(2);

/// The settings that the relay is started with.
#[derive(Debug)]
pub struct Config {
    /// The addresses that clients are served on, over UDP, and over TCP by
    /// [`Relay::take_listeners`]. A port of 0 takes any free one; an unspecified address means
    /// every address of the machine.
    pub listen: Vec<SocketAddr>,
    /// The number of relaying threads, at most [`turn::MAX_WORKERS`]. More than one needs an
    /// operating system that spreads the datagrams of one port over several sockets: Linux does.
    pub workers: usize,
    /// A second address for NAT behaviour discovery (RFC 5780), if that is to be served.
    pub alternate_ip: Option<IpAddr>,
    /// The lifetime of the credentials that are minted: calls that are over are remembered for as
    /// long.
    pub credential_ttl: Duration,
    /// The time for which a user who was kicked is refused, unless the user has a new token.
    pub kick_ttl: Duration,
    /// The longest time for which datagrams may be coalesced, where tens of thousands arrive in a
    /// second.
    pub gather: Duration,
    /// The settings of the core.
    pub turn: turn::Config,
    /// The checks of the credentials of clients.
    pub auth: TurnAuth,
}

/// The reason why the relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be bound.
    #[error("cannot listen on {address}/{protocol}: {source}{}", bind_hint(source))]
    Listen {
        /// The address of the listener.
        address: SocketAddr,
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// None of the addresses exists on this machine.
    #[error("none of the listen addresses ({0:?}) leads to an address of this machine")]
    NoAddress(Vec<SocketAddr>),
    /// There is no listener that this address could be the alternate address of.
    #[error(
        "--alternate-ip {0} needs a listener on another address of its family, with a free port \
         behind its own"
    )]
    Alternate(IpAddr),
    /// An outer address belongs to an inner one that the server does not have.
    #[error(
        "--external-ip {public}/{private}: no listener has the inner address {private}, so nobody \
         would be told {public}; the listeners have {own}: give one of those, or {public} alone"
    )]
    ExternalIp {
        /// The outer address.
        public: IpAddr,
        /// The inner one.
        private: IpAddr,
        /// The addresses that the listeners have.
        own: String,
    },
    /// Two outer addresses belong to one inner address.
    #[error(
        "--external-ip {second}: nobody would be told {}, since {first} is there before it; leave one \
         of the two out, or give each the inner address of its own, as PUBLIC/PRIVATE",
        second.public
    )]
    SecondExternalIp {
        /// The one that clients would be told.
        first: ExternalIp,
        /// The one behind it.
        second: ExternalIp,
    },
    /// An address for relayed addresses cannot be used.
    #[error("cannot open relayed addresses on {address}: {source}{}", bind_hint(source))]
    RelayIp {
        /// The address for relayed addresses.
        address: IpAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system gives no thread, no `epoll` or no list of its addresses.
    #[error("cannot start a relay worker: {0}")]
    System(#[from] io::Error),
}

/// Returns advice about an address that cannot be bound; it begins with a semicolon, or is empty.
pub fn bind_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program, or another callbox, listens there: stop it, or choose another port \
             (0 takes a free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: `ip address` shows those it has, and behind a NAT \
             the outer one belongs into --external-ip"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE, or a higher port"
        }
        _ => "",
    }
}

/// The handler of the core's events, which every worker calls.
pub type OnEvent = Arc<dyn Fn(Event) + Send + Sync>;

/// The running relay. It stops when dropped.
pub struct Relay {
    common: Common,
    addresses: Vec<SocketAddr>,
    tcp: Vec<TcpListener>,
    /// The counter that chooses the worker of the next connection.
    next: AtomicUsize,
    credential_ttl: Duration,
    kick_ttl: Duration,
    workers: Vec<Handle>,
    /// Notifies the workers when the machine's addresses change.
    address_watch: Option<AddressWatch>,
    /// True if a worker has ended without being told to.
    lost: watch::Receiver<bool>,
}

/// Allocations that are being closed.
#[derive(Debug)]
pub struct Closing(UnboundedReceiver<usize>);

impl Closing {
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

/// The handle of a running worker.
struct Handle {
    commands: CommandSender,
    metrics: Arc<Metrics>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Binds the listeners and starts the workers. Clients are answered once it has returned.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(config: Config, on_event: OnEvent) -> Result<Self, StartError> {
        let workers = config.workers.clamp(1, turn::MAX_WORKERS);
        let mut bound = listen::bind(&config.listen, workers)?;
        // Clients are told of these; the others are for those that ask one of these for them (RFC
        // 5780).
        let addresses = bound.addresses.clone();
        let quartet = config.alternate_ip.map(|ip| alternate::bind(&mut bound, ip)).transpose()?;
        let mut turn = config.turn;
        turn.tcp_listeners = listen::with_every_address(turn.tcp_listeners)?;
        external::check(&turn, &bound.addresses)?;
        for warning in external::unused(&turn, &bound.addresses) {
            tracing::warn!("{warning}");
        }
        let mut common = Common::new(turn, config.auth, bound.addresses);
        if let Some(quartet) = quartet {
            common = common.with_discovery(quartet);
        }
        for ip in common.addresses().relay_ips() {
            let try_out = sockets::open((ip.0, 0).into(), false);
            try_out.map_err(|source| StartError::RelayIp { address: ip.0, source })?;
        }
        address_watch::read_machine_addresses(&common)?;
        let (lost, is_lost) = watch::channel(false);
        let mut relay = Self {
            common,
            addresses,
            tcp: bound.tcp,
            next: AtomicUsize::new(0),
            credential_ttl: config.credential_ttl,
            kick_ttl: config.kick_ttl,
            workers: Vec::new(),
            address_watch: None,
            lost: is_lost,
        };
        // A second socket for an allocation is optional: these take at most a quarter of the files
        // that may be open.
        let max_connected_sockets =
            sys::raise_open_files().map_or(0, |limit| limit as usize / 4 / workers);
        let polls = (0..workers).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let wakers = polls.iter().map(worker::waker).collect::<io::Result<Vec<_>>>()?;
        let ends = worker_ring::connect(&wakers).into_iter().zip(polls);
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel()).unzip();
        let senders = senders.into_iter().zip(wakers);
        let all_workers: Vec<_> =
            senders.map(|(commands, waker)| CommandSender::new(commands, waker)).collect();
        for (index, ((listeners, inbox), (rings, poll))) in
            bound.sockets.into_iter().zip(inboxes).zip(ends).enumerate()
        {
            let metrics = Arc::new(Metrics::default());
            let worker = Worker::new(Parts {
                common: relay.common.clone(),
                index: index as u16,
                metrics: metrics.clone(),
                listeners,
                poll,
                rings,
                all_workers: all_workers.clone(),
                inbox,
                on_event: on_event.clone(),
                gather: config.gather,
                max_connected_sockets,
            })?;
            let lost = lost.clone();
            let thread = std::thread::Builder::new()
                .name(format!("relay-{index}"))
                .spawn(move || supervisor::run(index, || worker.run(), &lost))?;
            let commands = all_workers[index].clone();
            relay.workers.push(Handle { commands, metrics, thread: Some(thread) });
        }
        relay.address_watch = Some(AddressWatch::start(relay.common.clone(), all_workers)?);
        Ok(relay)
    }

    /// Returns the addresses on which clients are served, with the actual ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the TCP listeners on the same addresses, in the same order. The relay has bound
    /// them, so that both protocols have the port, but reads nothing from them: the caller accepts
    /// connections, and gives those that are for the relay to [`Relay::take_stream`]. The listeners
    /// are given out once.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.tcp)
    }

    /// Serves a client over a connection. Connections are spread over the workers in turn.
    pub fn take_stream(&self, stream: NewStream) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        self.workers[at].commands.send(Command::Stream(Box::new(stream)));
    }

    /// Returns the addresses that clients should be told to connect to, and those that most could
    /// not reach: the relay's own ones, or those of other listeners of this process. They are
    /// replaced by the outer addresses of a 1:1 NAT where one is configured.
    ///
    /// # Errors
    /// The system's error, if it cannot list its addresses.
    pub fn reached(&self, listeners: &[SocketAddr]) -> io::Result<Reached> {
        advertised::reached(self.common.addresses(), listeners)
    }

    /// Records that one side of a live call, `by`, has announced its addresses to another, `to`.
    /// Once this returns, the other's allocations may have permissions for them, where the relay
    /// requires that ([`turn::Config::signaled_peers`]).
    pub fn announce(&self, call: CallId, by: &UserId, to: &UserId, addresses: &[IpAddr]) {
        self.common.announce(call, by, to, addresses);
    }

    /// Ends a call: closes its allocations and refuses its credentials from now on.
    pub fn end_call(&self, call: CallId) {
        // Most calls do not use the relay: no worker is woken for those.
        if let Some(sides) = self.common.end_call(Now::read(), call, self.credential_ttl) {
            for worker in &self.workers {
                worker.commands.send(Command::EndCall(call, sides.clone()));
            }
        }
    }

    /// Ends a call for one of its users: closes the user's allocations for it and refuses the user's
    /// credentials from now on, unless the user is let in again.
    pub fn revoke_user(&self, call: CallId, user: &UserId) {
        let sides = self.common.revoke_user(Now::read(), call, user, self.credential_ttl);
        for worker in &self.workers {
            worker.commands.send(Command::RevokeUser(call, user.clone(), sides.clone()));
        }
    }

    /// Accepts a user's credentials for a call again.
    pub fn readmit_user(&self, call: CallId, user: &UserId) {
        self.common.readmit_user(call, user);
    }

    /// Closes a user's allocations and refuses the credentials that the user has. With `calls`,
    /// those are the allocations for these calls or for none; without it they are all, and all
    /// other credentials of the user are refused as well, until [`Relay::lift_kick`] or until
    /// [`Config::kick_ttl`] is over.
    pub fn kick(&self, now: Now, user: &UserId, calls: Option<&[CallId]>) -> Closing {
        let (closed, closing) = unbounded_channel();
        let ban = calls.is_none().then_some(self.kick_ttl);
        if self.common.kick(now, user, self.credential_ttl, ban) {
            let (user, calls) = (user.as_str().into(), calls.map(Arc::from));
            let order = KickOrder { user, calls, closed };
            for worker in &self.workers {
                worker.commands.send(Command::Kick(order.clone()));
            }
        }
        Closing(closing)
    }

    /// Accepts the credentials of a user who was kicked and has a new token, as far as they are
    /// minted for it.
    pub fn lift_kick(&self, user: &UserId) {
        self.common.lift_kick(user);
    }

    /// Returns the sum of the workers' counters.
    pub fn metrics(&self) -> Snapshot {
        Snapshot::of(self.workers.iter().map(|worker| &*worker.metrics))
    }

    /// Returns true if every worker runs. One that has ended is lost with its clients: only a new
    /// relay can serve them.
    pub fn is_whole(&self) -> bool {
        !*self.lost.borrow()
    }

    /// Completes once a worker has ended without being told to; the log says why.
    pub fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut lost = self.lost.clone();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                // All workers have ended as they were told to.
                future::pending().await
            }
        }
    }

    /// Makes the first worker panic.
    #[cfg(any(test, feature = "testing"))]
    pub fn break_worker(&self) {
        self.workers[0].commands.send(Command::Panic);
    }

    /// Closes every allocation and every socket, and waits until that is done.
    pub fn stop(mut self) {
        self.stop_workers();
    }

    fn stop_workers(&mut self) {
        drop(self.address_watch.take());
        self.workers.iter().for_each(|worker| worker.commands.send(Command::Stop));
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // The supervisor has logged how it ended.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop_workers();
    }
}
