//! Follows the addresses of the machine, which may change while the server runs: an address is
//! refused as a peer from the moment when the machine has it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use callbox_sys as sys;
use callbox_turn::Common;
use ipnet::IpNet;
use mio::{Events, Poll, Token, Waker};

use super::{
    commands::{Command, CommandSender},
    listen,
    log_throttle::LogThrottle,
};

/// The interval at which the addresses are read where the system reports no changes, or where the
/// last read failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

const CHANGES: Token = Token(0);
const STOP: Token = Token(1);

/// Reads the machine's addresses, for everything that is judged from now on. Returns true if they
/// differ from those read before.
///
/// # Errors
/// The system's error, if it tells neither its routes nor its interfaces.
pub(super) fn read_machine_addresses(common: &Common) -> io::Result<bool> {
    let networks = sys::own_networks().or_else(|_| {
        let addresses = listen::machine_addresses()?;
        Ok::<_, io::Error>(addresses.into_iter().map(IpNet::from).collect())
    });
    networks.map(|networks| common.set_machine_addresses(networks))
}

/// The thread that follows the addresses. It ends when this is dropped.
pub(super) struct AddressWatch {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl AddressWatch {
    /// Starts to follow the addresses; the workers are notified of each change.
    ///
    /// # Errors
    /// The system gives no thread or no `epoll`.
    pub(crate) fn start(common: Common, workers: Vec<CommandSender>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), STOP)?;
        let changes = sys::AddressChanges::watch().and_then(|changes| {
            changes.register(poll.registry(), CHANGES)?;
            Ok(changes)
        });
        let changes = changes.inspect_err(|error| {
            tracing::debug!(%error, "changes of the machine's addresses are not reported: they are read each second");
        });
        let stop = Arc::new(AtomicBool::new(false));
        let follower =
            Follower { common, workers, changes: changes.ok(), failed: LogThrottle::default() };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("relay-addresses".into())
            .spawn(move || follower.run(poll, &stopped))?;
        Ok(Self { stop, waker, thread: Some(thread) })
    }
}

impl Drop for AddressWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let woken = self.waker.wake();
        if let Some(thread) = self.thread.take()
            && woken.is_ok()
        {
            // If it has panicked, the panic is in the log already.
            let _ = thread.join();
        }
    }
}

struct Follower {
    common: Common,
    workers: Vec<CommandSender>,
    changes: Option<sys::AddressChanges>,
    failed: LogThrottle,
}

impl Follower {
    fn run(mut self, mut poll: Poll, stop: &AtomicBool) {
        let mut events = Events::with_capacity(2);
        // The addresses are read once at the beginning: they may have changed between the first
        // read and the registration for changes.
        let mut is_current = self.update();
        while !stop.load(Ordering::Relaxed) {
            let is_notified = is_current && self.changes.is_some();
            let timeout = (!is_notified).then_some(LOOK_AGAIN);
            if poll.poll(&mut events, timeout).is_err() {
                // Interrupted, or out of memory: the addresses are read in either case.
                is_current = false;
            }
            if self.changes.as_mut().is_none_or(|changes| changes.any()) || !is_current {
                is_current = self.update();
            }
        }
    }

    /// Reads the addresses, and notifies the workers if they have changed. Returns false if they
    /// could not be read.
    fn update(&mut self) -> bool {
        match read_machine_addresses(&self.common) {
            Ok(true) => {
                tracing::debug!("the machine's addresses have changed");
                self.workers.iter().for_each(|worker| worker.send(Command::AddressesChanged));
                true
            }
            Ok(false) => true,
            Err(error) => {
                if let Some(times) = self.failed.hit(Instant::now()) {
                    tracing::error!(%error, times, "the machine's addresses cannot be read; the \
                        last known ones remain in use");
                }
                false
            }
        }
    }
}
