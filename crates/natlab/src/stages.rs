//! The processes between a command and the manager of its lab. Each is this program again.
//!
//! - The keeper is the child of the command. It is in the lab's namespaces but for that of PIDs,
//!   and ends when the command does, or the other way round.
//! - The first process of the PID namespace is the keeper's child, and is killed with it. When it
//!   ends, the kernel ends every process of the namespace, and with them the network namespaces,
//!   their interfaces and their rules.
//! - The manager is its child.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, set_parent_process_death_signal, wait,
    },
};

use crate::error::{LabError, Tried};

/// The argument that makes this program one of the stages; the name of the stage follows.
pub(crate) const STAGE: &str = "stage";

/// The stages, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stage {
    /// Ends with the command.
    Keeper,
    /// Has PID 1.
    First,
    /// Has the lab.
    Manager,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::First => "first",
            Self::Manager => "manager",
        }
    }

    /// Returns the command that starts the stage. stdin and stdout are those of the manager.
    pub(crate) fn command(self, executable: &std::path::Path) -> Command {
        let mut command = Command::new(executable);
        command.args(["natlab", STAGE, self.name()]);
        match self {
            // No thread can be started where the next process is in another PID namespace.
            Self::Keeper => command.env("_RJEM_MALLOC_CONF", "background_thread:false"),
            _ => command.env_remove("_RJEM_MALLOC_CONF"),
        };
        command
    }

    /// Starts the next stage, with the same stdin and stdout.
    fn next(self) -> Result<Child, LabError> {
        let mut command = self.command("/proc/self/exe".as_ref());
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
        let failed = "cannot start a process of the lab";
        let child = command.spawn().tried(failed)?;
        // The socket of the lab is the manager's alone, so that it ends with it.
        let nothing = File::options().write(true).open("/dev/null").tried(failed)?;
        rustix::stdio::dup2_stdout(nothing).map_err(Into::into).tried(failed)?;
        Ok(child)
    }
}

/// Ends when the channel at stdin is closed by the other end, or the child ends.
pub(crate) fn keep() -> Result<(), LabError> {
    let child = Stage::First.next()?;
    let failed = "cannot watch the lab";
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let process = process.map_err(Into::into).tried(failed)?;
    let stdin = io::stdin();
    let mut polled = [
        PollFd::new(&process, PollFlags::IN),
        PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::RDHUP),
    ];
    loop {
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => {}
            // The child is killed when this process ends.
            result => return result.map(drop).map_err(Into::into).tried(failed),
        }
    }
}

/// Prepares the mount namespace, starts the manager, and reaps every process of the lab until the
/// manager ends.
pub(crate) fn be_first() -> Result<(), LabError> {
    // If the keeper has ended before this call, the manager sees that its channel is closed.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Into::into)
        .tried("cannot end with the command")?;
    let own = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_change("/", own)
        .and_then(|()| mount("proc", "/proc", "proc", flags, None))
        .map_err(Into::into)
        .tried("/proc cannot be mounted for the lab (in a container, run it with --privileged)")?;
    let manager = Stage::Manager.next()?;
    let manager = Pid::from_child(&manager);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid == manager => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(LabError::system("cannot wait for the lab", error)),
        }
    }
}
