//! The end of a lab by force: nothing is left.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Started, natlab};
use crate::support::wait_until;

/// Returns the processes of a session: each process of a lab is in that of its command, whatever
/// namespaces it is in.
fn session(id: i32) -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        // 42 (name) S 1 42 7 …: state, parent, group, session.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<_> = stat.rsplit(") ").next()?.split(' ').collect();
        let is_in = fields[3] == id.to_string() && fields[0] != "Z";
        is_in.then_some((pid, stat))
    })
    .collect()
}

/// Returns the children of a process, of all its threads.
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()
        })
        .collect()
}

/// Starts a lab in a session of its own, as the child of a shell. The shell's PID is that of the
/// session.
fn start() -> Started {
    let args = ["run", "--a", "symmetric", "--b", "carrier-grade", "--", "sleep", "1000"];
    Started(in_session(&natlab(&args)).spawn().unwrap())
}

/// Returns a command of this kind for a command of natlab.
fn in_session(natlab: &Command) -> Command {
    let mut command = Command::new("setsid");
    // With a second command the shell does not become the first one.
    command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]).arg(natlab.get_program());
    command.args(natlab.get_args()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn kill(pid: i32) {
    // It may be gone already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

/// Kills a lab's command, or the shell that is its parent, after this time.
fn kill_after(time: Duration, parent: bool) {
    let mut shell = start();
    let id = shell.0.id() as i32;
    // This is the moment of the test, and no wait for an event.
    thread::sleep(time);
    match parent {
        true => kill(id),
        false => children(id).into_iter().for_each(kill),
    }
    let end = shell.0.wait().unwrap();
    assert!(!parent || end.signal() == Some(9), "{end}");
    let what = format!("the end of session {id}, {parent} after {time:?}");
    wait_until(&what, || session(id).is_empty());
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!sockets.contains(&format!("/run-{id}-")), "{sockets}");
}

/// At 50 moments, while the lab is built and after that, the command or its parent is killed.
#[test]
fn nothing_is_left_of_a_lab_that_is_killed() {
    let interfaces = || fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let before = interfaces();
    thread::scope(|scope| {
        for offset in 0..2 {
            scope.spawn(move || {
                for n in (offset..50).step_by(2) {
                    kill_after(Duration::from_millis(9 * n), n % 4 < 2);
                }
            });
        }
    });
    assert_eq!(interfaces(), before);
}

/// Each process between the command and the programs can be killed: all others end.
#[test]
fn no_process_of_a_lab_outlives_another() {
    for depth in 1..5 {
        let shell = start();
        let id = shell.0.id() as i32;
        // shell, natlab, keeper, first, manager, then the programs and the server.
        let descend =
            || (0..depth).fold(vec![id], |pids, _| pids.into_iter().flat_map(children).collect());
        let manager = || {
            (0..4).fold(vec![id], |pids, _| pids.into_iter().flat_map(children).collect::<Vec<_>>())
        };
        wait_until("the programs", || {
            manager().first().is_some_and(|manager| children(*manager).len() == 3)
        });
        let victims: Vec<i32> = descend();
        assert_eq!(victims.len(), 1, "{victims:?}");
        kill(victims[0]);
        wait_until("the end of all", || session(id).len() <= 1);
        drop(shell);
        wait_until("the end of the shell", || session(id).is_empty());
    }
}

/// A browser keeps its files in memory, which the kernel frees with the browser.
#[test]
fn no_file_of_a_browser_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let natlab = natlab(&["matrix", "--with", "chromium", "--pair", "none", "none"]);
    let mut command = in_session(&natlab);
    command.env("TMPDIR", folder.path()).env("HOME", folder.path());
    let mut shell = Started(command.spawn().unwrap());
    let id = shell.0.id() as i32;
    let has_page = |(pid, _): &(i32, String)| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains("--type=renderer")
    };
    wait_until("the page of a browser", || session(id).iter().any(has_page));
    children(id).into_iter().for_each(kill);
    shell.0.wait().unwrap();
    wait_until("the end of all", || session(id).is_empty());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
