//! `--exit-with-parent`: the server ends with the process that started it, however that ends.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use crate::common::{DEADLINE, Output, Server, callbox, run, websocket};

const SERVE: [&str; 9] = [
    "serve",
    "--dev",
    "--ready-json",
    "--lifetime",
    "5m",
    "--http",
    "127.0.0.1:0",
    "--listen",
    "127.0.0.1:0",
];

/// Starts a server whose parent is a shell, which is the process that `Server` kills. The option
/// may refer to the shell's process id as `$$`. Nobody reads the server's log: it is a broken pipe,
/// as it is once the parent is gone.
fn start_under_shell(option: &str) -> Server {
    let server = callbox(&[]);
    let mut shell = Command::new("sh");
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let script = format!("exec 3>&1; \"$0\" \"$@\" {option} 2>&1 >&3 | :");
    shell.arg("-c").arg(script).arg(server.get_program()).args(SERVE).stdin(Stdio::null());
    Server::spawn(&mut shell)
}

/// Returns true if a process runs; one that has ended but was not waited for does not.
fn is_running(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z'))
}

/// Kills the parent. The server stops as with SIGTERM: its client is told why.
async fn ends_with_its_parent(option: &str) {
    let shell = start_under_shell(option);
    let server = shell.ready["pid"].as_u64().unwrap();
    assert_ne!(server, u64::from(shell.pid()));
    let mut alice = websocket::Client::sign_in(&shell, "alice").await;
    assert!(is_running(server));
    // SIGKILL.
    drop(shell);
    let (code, reason) = alice.closed().await;
    assert_eq!((code, reason.split(':').next()), (1001, Some("server_shutdown")));
    let until = Instant::now() + DEADLINE;
    while is_running(server) {
        assert!(Instant::now() < until, "the server lives on");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_killed_parent_takes_the_server_with_it() {
    ends_with_its_parent("--exit-with-parent").await;
}

#[tokio::test]
async fn a_process_that_is_named_takes_the_server_with_it() {
    ends_with_its_parent("--exit-with-parent=$$").await;
}

#[test]
fn a_named_process_that_has_ended_before_the_start_ends_the_server() {
    let mut ended = Command::new("true").spawn().unwrap();
    let pid = ended.id();
    ended.wait().unwrap();
    let option = format!("--exit-with-parent={pid}");
    let Output { status, stderr, .. } = run(&mut callbox(&[&SERVE[..], &[&option]].concat()));
    assert_eq!(status, 0, "{stderr}");
    assert!(stderr.contains("stopping: the parent process has ended"), "{stderr}");
}

#[test]
fn a_value_of_another_kind_is_refused() {
    for value in ["maybe", "-5", "3000000000"] {
        let option = format!("--exit-with-parent={value}");
        let Output { status, stderr, .. } = run(&mut callbox(&[&SERVE[..], &[&option]].concat()));
        assert_eq!(status, 2, "{stderr}");
        assert!(stderr.contains("expected true, false or a process id"), "{stderr}");
    }
}
