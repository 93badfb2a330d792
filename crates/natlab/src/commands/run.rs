//! `callbox natlab run`: runs programs on the sides of a lab.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, BufRead, BufReader, PipeReader, Write},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use callbox_cli::Period;
use clap::Args;

use super::lab_options::LabOptions;
use crate::{
    control::Exit,
    error::{LabError, Tried},
    lab::Lab,
    plan::INTERNET,
    process::{Process, Stream, Task},
};

/// The exit code after --timeout, as that of timeout(1).
const TIMED_OUT: u8 = 124;

/// Run a program on each side of a lab, and end the lab.
///
/// The programs find the lab in their environment: NATLAB_SIDE and NATLAB_PEER, the names of their
/// side and of the others; NATLAB_STUN, NATLAB_STUN_OTHER, NATLAB_TURN, NATLAB_TURN_USERNAME and
/// NATLAB_TURN_PASSWORD; NATLAB_URL, NATLAB_WS and NATLAB_TOKEN for signaling; NATLAB_PROXY where
/// there is nothing but a proxy. Their output is shown with the side in front. The exit code is
/// that of the first program that fails, 0 if none does, and 124 after --timeout. A program on the
/// side `internet` starts before the others, and is killed when all of them have ended.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    lab: LabOptions,

    /// The time after which the programs are killed.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Period>,

    /// A command of the shell for one side; may be given more than once. The side `internet` is in
    /// the public network, for servers.
    #[arg(long, num_args = 2, value_names = ["SIDE", "COMMAND"])]
    on: Vec<String>,

    /// A program with its arguments, for every side that --on does not name.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the programs.
pub(super) fn run(args: &RunArgs) -> Result<u8, LabError> {
    if args.on.is_empty() && args.command.is_empty() {
        return Err(LabError::new(
            "there is no program to run: name it after `--`, or for one side with \
             `--on a 'COMMAND'`",
        ));
    }
    let lab = args.lab.lab()?;
    for (side, link) in lab.links() {
        eprintln!("natlab: link of {side}: {link}");
    }
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout.0);
    let mut killers = BTreeMap::new();
    let (ended, ends) = mpsc::channel();
    let mut tasks = tasks(args, &lab);
    let servers = tasks.remove_entry(INTERNET);
    let has_clients = !tasks.is_empty();
    for (side, task) in servers.into_iter().chain(tasks) {
        let mut process = lab.spawn(&side, task)?;
        killers.insert(side.clone(), process.killer()?);
        let ended = ended.clone();
        let watch = move || {
            let exit = watch(&side, &mut process);
            // The receiver has given up after the deadline.
            let _ = ended.send((side, exit));
        };
        thread::Builder::new().spawn(watch).tried("no thread can be started")?;
    }
    drop(ended);
    let mut code = 0;
    while killers.keys().any(|side| !has_clients || side != INTERNET) {
        let left =
            deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        let Ok((side, exit)) = ends.recv_timeout(left) else {
            for (side, killer) in &killers {
                eprintln!("natlab: {side} has not ended in time, and is killed");
                killer.kill();
            }
            return Ok(TIMED_OUT);
        };
        killers.remove(&side);
        let exit = exit?;
        if !exit.success() {
            eprintln!("natlab: {side} has ended with {}", describe(exit));
            code = if code == 0 { exit.code() } else { code };
        }
    }
    Ok(code)
}

/// Returns the program of each side that has one.
fn tasks(args: &RunArgs, lab: &Lab) -> BTreeMap<String, Task> {
    let mut tasks = BTreeMap::new();
    if let [program, rest @ ..] = &args.command[..] {
        for side in lab.sides() {
            let mut task = Task::new(program);
            task.args(rest);
            tasks.insert(side.to_owned(), task);
        }
    }
    for pair in args.on.chunks_exact(2) {
        let mut task = Task::new("/bin/sh");
        task.args(["-c", &pair[1]]);
        tasks.insert(pair[0].clone(), task);
    }
    for task in tasks.values_mut() {
        task.stdin(Stream::Null).stdout(Stream::Piped).stderr(Stream::Piped);
    }
    tasks
}

/// Shows the output of a program until it ends.
fn watch(side: &str, process: &mut Process) -> Result<Exit, LabError> {
    let (stdout, stderr) = (process.take_stdout(), process.take_stderr());
    thread::scope(|scope| {
        scope.spawn(|| stdout.map(|pipe| show(side, pipe, &mut io::stdout())));
        scope.spawn(|| stderr.map(|pipe| show(side, pipe, &mut io::stderr())));
        process.wait()
    })
}

/// Copies lines with the side in front.
fn show(side: &str, pipe: PipeReader, to: &mut impl Write) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = pipe.read_until(b'\n', &mut line) {
        let end = if line.ends_with(b"\n") { &b""[..] } else { &b"\n"[..] };
        let whole = [side.as_bytes(), b" | ", &line, end].concat();
        // The program goes on if nobody reads its output.
        let _ = to.write_all(&whole).and_then(|()| to.flush());
        line.clear();
    }
}

fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}
