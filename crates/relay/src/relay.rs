//! The running relay: its workers, and what the rest of the server asks of them.

use std::{
    future, io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use callbox_sys as sys;
use callbox_turn::{self as turn, Common, Metrics, Snapshot, faults::Selector};
use mio::{Poll, net::UdpSocket};
use tokio::sync::{mpsc::unbounded_channel, watch};

use super::{
    Closing, Config, ListenerAddresses, NewStream, OnEvent, StartError,
    address_watch::{self, AddressWatch},
    advertised, alternate,
    commands::{Command, CommandSender, FaultOrder, FaultTask, KickOrder},
    external, listen, sockets, supervisor,
    worker::{self, Parts, Worker},
    worker_handle::WorkerHandle,
    worker_ring,
};

/// The running relay. It stops when dropped.
pub struct Relay {
    common: Common,
    addresses: Vec<SocketAddr>,
    tcp: Vec<TcpListener>,
    /// The counter that chooses the worker of the next connection.
    next: AtomicUsize,
    credential_ttl: Duration,
    kick_ttl: Duration,
    workers: Vec<WorkerHandle>,
    /// Notifies the workers when the machine's addresses change.
    address_watch: Option<AddressWatch>,
    /// True if a worker has ended without being told to.
    lost: watch::Receiver<bool>,
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
        let all_workers = relay.start_workers(bound.sockets, config.gather, &on_event, &lost)?;
        relay.address_watch = Some(AddressWatch::start(relay.common.clone(), all_workers)?);
        Ok(relay)
    }

    /// Starts a worker for each set of listeners. Returns the channels to all of them.
    fn start_workers(
        &mut self,
        sockets: Vec<Vec<UdpSocket>>,
        gather: Duration,
        on_event: &OnEvent,
        lost: &watch::Sender<bool>,
    ) -> io::Result<Vec<CommandSender>> {
        let workers = sockets.len();
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
            sockets.into_iter().zip(inboxes).zip(ends).enumerate()
        {
            let metrics = Arc::new(Metrics::default());
            let worker = Worker::new(Parts {
                common: self.common.clone(),
                index: index as u16,
                metrics: metrics.clone(),
                listeners,
                poll,
                rings,
                all_workers: all_workers.clone(),
                inbox,
                on_event: on_event.clone(),
                gather,
                max_connected_sockets,
            })?;
            let lost = lost.clone();
            let thread = std::thread::Builder::new()
                .name(format!("relay-{index}"))
                .spawn(move || supervisor::run(index, || worker.run(), &lost))?;
            self.workers.push(WorkerHandle::new(all_workers[index].clone(), metrics, thread));
        }
        Ok(all_workers)
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
        self.workers[at].send(Command::Stream(Box::new(stream)));
    }

    /// Returns the addresses that clients should be told to connect to, and those that most could
    /// not reach: the relay's own ones, or those of other listeners of this process. They are
    /// replaced by the outer addresses of a 1:1 NAT where one is configured.
    ///
    /// # Errors
    /// The system's error, if it cannot list its addresses.
    pub fn listener_addresses(&self, listeners: &[SocketAddr]) -> io::Result<ListenerAddresses> {
        advertised::listener_addresses(self.common.addresses(), listeners)
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
                worker.send(Command::EndCall(call, sides.clone()));
            }
        }
    }

    /// Ends a call for one of its users: closes the user's allocations for it and refuses the
    /// user's credentials from now on, unless the user is let in again.
    pub fn revoke_user(&self, call: CallId, user: &UserId) {
        let sides = self.common.revoke_user(Now::read(), call, user, self.credential_ttl);
        for worker in &self.workers {
            worker.send(Command::RevokeUser(call, user.clone(), sides.clone()));
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
                worker.send(Command::Kick(order.clone()));
            }
        }
        Closing::new(closing)
    }

    /// Accepts the credentials of a user who was kicked and has a new token, as far as they are
    /// minted for it.
    pub fn lift_kick(&self, user: &UserId) {
        self.common.lift_kick(user);
    }

    /// Injects a fault, for tests. The result is the number of allocations that it concerns; it is
    /// known once every worker has done it.
    pub fn inject(&self, task: &FaultTask) -> Closing {
        let (done, closing) = unbounded_channel();
        for worker in &self.workers {
            worker.send(Command::Fault(FaultOrder { task: task.clone(), done: done.clone() }));
        }
        Closing::new(closing)
    }

    /// Lets the credentials of a selector that were made until now be over, for tests. The result
    /// is the number of their allocations, which stay until they are to be refreshed.
    pub fn expire_credentials(&self, now: Now, selector: &Selector) -> Closing {
        self.common.expire_credentials(now, selector, self.credential_ttl);
        self.inject(&FaultTask::CountAllocations(selector.clone()))
    }

    /// Returns the sum of the workers' counters.
    pub fn metrics(&self) -> Snapshot {
        Snapshot::of(self.workers.iter().map(WorkerHandle::metrics))
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
        self.workers[0].send(Command::Panic);
    }

    /// Closes every allocation and every socket, and waits until that is done.
    pub fn stop(mut self) {
        self.stop_workers();
    }

    fn stop_workers(&mut self) {
        drop(self.address_watch.take());
        self.workers.iter().for_each(|worker| worker.send(Command::Stop));
        self.workers.iter_mut().for_each(WorkerHandle::join);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop_workers();
    }
}
