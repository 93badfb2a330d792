//! Ends the command with its parent.

use std::{fs, io, process, thread};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, getpid, getppid, pidfd_open},
};

/// The exit code where nobody reads it.
const ORPHANED: i32 = 137;

/// Ends this process, and with it its labs, when its parent has ended, even by `kill -9`.
///
/// It watches the parent as a process: the signal of prctl(2) for this comes when the thread ends
/// that has started this process, which can be long before.
pub(super) fn end_with_parent() {
    // The parent of a first process in a container is not visible.
    let Some(parent) = getppid() else { return };
    let Ok(process) = pidfd_open(parent, PidfdFlags::empty()) else { return };
    if getppid() != Some(parent) || is_adopted(parent) {
        process::exit(ORPHANED);
    }
    let watch = move || {
        let mut polled = [PollFd::new(&process, PollFlags::IN)];
        loop {
            match poll(&mut polled, None) {
                Err(error) if io::Error::from(error).kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
                Ok(_) => process::exit(ORPHANED),
            }
        }
    };
    // Without the thread the command still ends with its programs.
    let _ = thread::Builder::new().name("parent".into()).spawn(watch);
}

/// Returns true if this parent is another process than the one that has started this process, which
/// has ended before it could be watched. A process is in the session of the one that starts it,
/// unless it begins a session itself.
fn is_adopted(parent: Pid) -> bool {
    let pid = getpid().as_raw_nonzero().get();
    let is_of_this_namespace =
        fs::read_link("/proc/self").is_ok_and(|target| target.to_str() == Some(&pid.to_string()));
    let own = session(getpid());
    is_of_this_namespace && own.is_some() && own != Some(pid) && own != session(parent)
}

/// Returns the session of a process, as its number in this PID namespace; 0 if it is of another one.
fn session(pid: Pid) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero().get())).ok()?;
    // 42 (name) S 1 42 7 …: state, parent, group, session.
    stat.rsplit(") ").next()?.split(' ').nth(3)?.parse().ok()
}
