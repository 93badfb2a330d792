//! Programs that run on a side.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use super::network::Network;
use crate::{
    control::{Channel, Exit, Response, Spawn},
    error::{LabError, Tried},
};

/// The variable by which a program's descendants are found.
const TASK: &str = "NATLAB_TASK";

/// Runs a program and answers when it starts and when it ends. It is killed if the other end of the
/// channel is closed before; and processes that it has left are killed in any case.
pub(super) fn run(
    channel: &Channel,
    network: &Network,
    spawn: Spawn,
    streams: [OwnedFd; 3],
) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let task = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut child = match start(network, spawn, streams, &task) {
        Ok(child) => child,
        Err(error) => return channel.send(&Response::Failed(error.to_string())),
    };
    let ended = channel
        .send(&Response::Started)
        .and_then(|()| wait_for_end(channel, &child))
        .and_then(|has_ended| if has_ended { Ok(()) } else { child.kill() });
    let status = child.wait();
    kill_marked(&task);
    ended?;
    channel.send(&Response::Exited(exit(status?)))
}

fn start(
    network: &Network,
    spawn: Spawn,
    streams: [OwnedFd; 3],
    task: &str,
) -> Result<Child, LabError> {
    let (namespace, environment) = network.host(&spawn.side)?;
    let [input, output, errors] = streams;
    let mut command = Command::new(&spawn.program);
    command
        .args(spawn.args)
        .env_clear()
        .envs(spawn.env)
        .envs(environment)
        .env(TASK, task)
        .current_dir(spawn.directory)
        .stdin(input)
        .stdout(output)
        .stderr(errors);
    if !spawn.has_terminal {
        command.process_group(0);
    }
    let name = spawn.program.to_string_lossy().into_owned();
    namespace.run(move || command.spawn().tried(format_args!("`{name}` cannot be started")))
}

/// Waits until the program has ended, or the other end of the channel is closed. Returns false in
/// the second case.
fn wait_for_end(channel: &Channel, child: &Child) -> io::Result<bool> {
    let pid = Pid::from_child(child);
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let mut polled = [
        PollFd::new(&process, PollFlags::IN),
        PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::RDHUP),
    ];
    loop {
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(!polled[0].revents().is_empty()),
        }
    }
}

/// Kills the processes of the lab that have this mark in their environment, until there are none.
fn kill_marked(task: &str) {
    let mark = format!("{TASK}={task}");
    let has_mark = |pid: i32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|line| line == mark.as_bytes())
        })
    };
    loop {
        let names = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let marked: Vec<_> = pids.filter(|pid| has_mark(*pid)).collect();
        if marked.is_empty() {
            return;
        }
        for pid in marked.into_iter().filter_map(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}
