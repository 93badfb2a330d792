//! A network namespace, which a thread of the manager is in.

use std::{
    fs::{self, File},
    io,
    sync::mpsc,
    thread,
};

use callbox_sys as sys;

use super::netlink::Netlink;
use crate::error::{LabError, Tried};

/// Something to do in a namespace.
type Job = Box<dyn FnOnce() + Send>;

/// A network namespace. It exists as long as this value, or a process in it.
///
/// A thread that never leaves it holds it, so it has no name in the file system, and ends with the
/// process.
#[derive(Debug, Clone)]
pub(super) struct Namespace {
    name: String,
    jobs: mpsc::Sender<Job>,
}

impl Namespace {
    /// Creates an empty namespace.
    pub(super) fn new(name: &str) -> Result<Self, LabError> {
        let namespace = Self::start(name, sys::enter_new_network)?;
        namespace.run(prepare)?;
        Ok(namespace)
    }

    /// Returns the namespace that the process was started in.
    pub(super) fn of_process() -> Result<Self, LabError> {
        let namespace = Self::start("links", || Ok(()))?;
        namespace.run(prepare)?;
        Ok(namespace)
    }

    fn start(name: &str, enter: fn() -> io::Result<()>) -> Result<Self, LabError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (entered, result) = mpsc::sync_channel(1);
        let work = move || {
            let is_in = enter();
            let go_on = is_in.is_ok();
            // The receiver waits for it.
            let _ = entered.send(is_in);
            if go_on {
                queue.iter().for_each(|job| job());
            }
        };
        let failed = format!("cannot make the network of `{name}`");
        thread::Builder::new().name(name.to_owned()).spawn(work).tried(&failed)?;
        let is_in = result.recv().unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()));
        is_in.tried(&failed)?;
        Ok(Self { name: name.to_owned(), jobs })
    }

    /// Runs a function in the namespace, and returns its result. Sockets that it opens and
    /// processes that it starts are in the namespace, too.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, LabError> + Send + 'static,
    ) -> Result<T, LabError> {
        let (sender, result) = mpsc::sync_channel(1);
        let job = Box::new(move || {
            // The receiver waits for it.
            let _ = sender.send(job());
        });
        let gone = || LabError::new(format!("the network of `{}` is gone", self.name));
        self.jobs.send(job).map_err(|_| gone())?;
        result
            .recv()
            .map_err(|_| gone())?
            .map_err(|error| LabError::new(format!("network of `{}`: {error}", self.name)))
    }

    /// Runs a function that changes interfaces, addresses and routes of the namespace.
    pub(super) fn configure<T: Send + 'static>(
        &self,
        job: impl AsyncFnOnce(&Netlink) -> Result<T, LabError> + Send + 'static,
    ) -> Result<T, LabError> {
        self.run(|| Netlink::run(job))
    }

    /// Returns a handle of the namespace, to move interfaces into it.
    pub(super) fn handle(&self) -> Result<File, LabError> {
        self.run(|| File::open("/proc/thread-self/ns/net").tried("/proc/thread-self/ns/net"))
    }

    /// Lets the namespace forward packets between its interfaces.
    pub(super) fn forward(&self) -> Result<(), LabError> {
        self.run(|| {
            set("ipv4/ip_forward", "1")?;
            match has_ipv6() {
                true => set("ipv6/conf/all/forwarding", "1"),
                false => Ok(()),
            }
        })
    }

    /// Keeps packets between two ports of a bridge away from the rules for packets that are routed.
    pub(super) fn exempt_bridges(&self) -> Result<(), LabError> {
        self.run(|| {
            let name = "bridge/bridge-nf-call-iptables";
            // Without br_netfilter they are exempt.
            match fs::exists(format!("/proc/sys/net/{name}")).unwrap_or(false) {
                true => set(name, "0"),
                false => Ok(()),
            }
        })
    }

    /// Lets the namespace have no IPv6 address: none of the host's addresses is link-local then.
    pub(super) fn disable_ipv6(&self) -> Result<(), LabError> {
        self.run(|| match has_ipv6() {
            true => {
                set("ipv6/conf/all/disable_ipv6", "1")?;
                set("ipv6/conf/default/disable_ipv6", "1")
            }
            false => Ok(()),
        })
    }
}

/// Brings loopback up, and lets IPv6 addresses work from the moment they are set.
fn prepare() -> Result<(), LabError> {
    if has_ipv6() {
        for scope in ["all", "default"] {
            set(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
            set(&format!("ipv6/conf/{scope}/accept_ra"), "0")?;
        }
    }
    Netlink::run(async |netlink| netlink.up("lo").await)
}

/// Returns true if the kernel has IPv6.
pub(super) fn has_ipv6() -> bool {
    fs::exists("/proc/sys/net/ipv6").unwrap_or(false)
}

/// Sets a kernel parameter of the network namespace of the calling thread.
fn set(name: &str, value: &str) -> Result<(), LabError> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).tried(&path)
}
