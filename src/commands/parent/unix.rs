//! The end of a process, on Unix.

use std::{os::unix::process::parent_id, thread, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

use crate::config::ExitWithParent;

/// The time between two looks, where the system does not report the end.
const LOOK: Duration = Duration::from_millis(200);

/// A process, which may have ended already.
pub(super) struct Process {
    id: Pid,
    /// True if it was the parent at first.
    is_parent: bool,
}

impl Process {
    /// Finds the process that the option names; the parent unless it names another.
    ///
    /// # Errors
    /// The reason why there is no such process, for a person.
    pub(super) fn find(which: ExitWithParent) -> Result<Self, &'static str> {
        let parent = parent_id();
        let id = match which {
            ExitWithParent::Process(id) => id,
            _ => parent,
        };
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or(
            "this process does not see its parent, as the first process of a container does \
             not; leave the option out there",
        )?;
        Ok(Self { id: pid, is_parent: id == parent })
    }

    /// Waits until it has ended.
    pub(super) fn wait(&self) {
        #[cfg(target_os = "linux")]
        let pidfd = rustix::process::pidfd_open(self.id, rustix::process::PidfdFlags::empty());
        // The check comes after the pidfd: that one may be of a process which has taken the id
        // since.
        while !self.has_ended() {
            #[cfg(target_os = "linux")]
            if let Ok(pidfd) = &pidfd {
                use rustix::event::{PollFd, PollFlags, poll};
                match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None) {
                    Ok(_) => return,
                    Err(Errno::INTR) => continue,
                    Err(_) => {}
                }
            }
            thread::sleep(LOOK);
        }
    }

    fn has_ended(&self) -> bool {
        let is_orphaned = self.is_parent && parent_id().cast_signed() != self.raw();
        // Any other error shows that it is there, and belongs to another user.
        is_orphaned || test_kill_process(self.id) == Err(Errno::SRCH)
    }

    fn raw(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }
}
