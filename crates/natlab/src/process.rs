//! A program on a side of a lab.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use crate::{
    control::{Channel, Exit, Response, Spawn},
    error::{LabError, Tried},
};

/// The other end of stdin, stdout or stderr of a program.
#[derive(Debug, Default)]
pub enum Stream {
    /// `/dev/null`.
    Null,
    /// That of this process.
    #[default]
    Inherit,
    /// A pipe, whose other end [`Process`] has.
    Piped,
    /// A file.
    To(OwnedFd),
}

/// A program to start on a side, as `std::process::Command` is one of this machine. It starts in
/// the current directory.
#[derive(Debug)]
pub struct Task {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    has_terminal: bool,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
}

impl Task {
    /// Describes a program without arguments, with the environment of this process.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: std::env::vars_os().collect(),
            has_terminal: false,
            stdin: Stream::default(),
            stdout: Stream::default(),
            stderr: Stream::default(),
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = A>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment. Those of the side win over it.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Lets the program have the terminal at its stdin, as a shell does.
    pub(crate) fn with_terminal(&mut self) -> &mut Self {
        self.has_terminal = true;
        self
    }

    /// Sets stdin.
    pub fn stdin(&mut self, stream: Stream) -> &mut Self {
        self.stdin = stream;
        self
    }

    /// Sets stdout.
    pub fn stdout(&mut self, stream: Stream) -> &mut Self {
        self.stdout = stream;
        self
    }

    /// Sets stderr.
    pub fn stderr(&mut self, stream: Stream) -> &mut Self {
        self.stderr = stream;
        self
    }

    /// Opens the streams.
    pub(crate) fn streams(&mut self) -> Result<Streams, LabError> {
        let failed = "no pipe can be made";
        let (stdin, writer) = match &mut self.stdin {
            Stream::Piped => {
                let (reader, writer) = io::pipe().tried(failed)?;
                (reader.into(), Some(writer))
            }
            other => (plain(other, io::stdin().as_fd()).tried(failed)?, None),
        };
        let output = |stream: &mut Stream, own: BorrowedFd<'_>| match stream {
            Stream::Piped => {
                let (reader, writer) = io::pipe().tried(failed)?;
                Ok((writer.into(), Some(reader)))
            }
            other => Ok((plain(other, own).tried(failed)?, None)),
        };
        let (stdout, out) = output(&mut self.stdout, io::stdout().as_fd())?;
        let (stderr, err) = output(&mut self.stderr, io::stderr().as_fd())?;
        Ok(Streams { child: [stdin, stdout, stderr], stdin: writer, stdout: out, stderr: err })
    }

    pub(crate) fn request(self, side: &str, directory: PathBuf) -> Spawn {
        Spawn {
            side: side.to_owned(),
            program: self.program,
            args: self.args,
            env: self.env,
            directory,
            has_terminal: self.has_terminal,
        }
    }
}

/// Returns the program's end of a stream that is no pipe.
fn plain(stream: &mut Stream, own: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    match std::mem::replace(stream, Stream::Null) {
        Stream::Inherit => own.try_clone_to_owned(),
        Stream::To(file) => Ok(file),
        Stream::Null | Stream::Piped => {
            Ok(File::options().read(true).write(true).open("/dev/null")?.into())
        }
    }
}

/// The streams of a program: its own ends, and the other ends of pipes.
#[derive(Debug)]
pub(crate) struct Streams {
    child: [OwnedFd; 3],
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
}

impl Streams {
    pub(crate) fn of_child(&self) -> [BorrowedFd<'_>; 3] {
        self.child.each_ref().map(AsFd::as_fd)
    }
}

/// A program that runs on a side. Dropping it kills the program.
#[derive(Debug)]
pub struct Process {
    channel: Channel,
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    exit: Option<Exit>,
}

impl Process {
    pub(crate) fn new(channel: Channel, streams: Streams) -> Self {
        let Streams { child: _, stdin, stdout, stderr } = streams;
        Self { channel, stdin, stdout, stderr, exit: None }
    }

    /// Returns the other end of stdin, if it is a pipe and was not taken before.
    pub fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.stdin.take()
    }

    /// Returns the other end of stdout, if it is a pipe and was not taken before.
    pub fn take_stdout(&mut self) -> Option<PipeReader> {
        self.stdout.take()
    }

    /// Returns the other end of stderr, if it is a pipe and was not taken before.
    pub fn take_stderr(&mut self) -> Option<PipeReader> {
        self.stderr.take()
    }

    /// Returns a handle by which another thread can kill the program while this one waits.
    ///
    /// # Errors
    /// This process has too many open files.
    pub fn killer(&self) -> Result<Killer, LabError> {
        self.channel.try_clone().map(Killer).tried("no handle of a program can be made")
    }

    /// Waits until the program has ended. Processes that it has left are killed by then.
    ///
    /// # Errors
    /// The lab has ended, or the program was killed by [`kill`](Self::kill).
    pub fn wait(&mut self) -> Result<Exit, LabError> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        match self.channel.receive() {
            Ok(Response::Exited(exit)) => {
                self.exit = Some(exit);
                Ok(exit)
            }
            _ => Err(LabError::new("the program has ended with its lab, or was killed")),
        }
    }

    /// Kills the program and the processes that it has started.
    pub fn kill(&self) {
        self.channel.shut_down();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a program.
#[derive(Debug)]
pub struct Killer(Channel);

impl Killer {
    /// Kills the program and the processes that it has started. [`Process::wait`] fails then.
    pub fn kill(&self) {
        self.0.shut_down();
    }
}
