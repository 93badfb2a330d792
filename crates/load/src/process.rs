//! The CPU time and memory of a process on this machine.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// The interval at which memory is read that is to settle.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process, by its files in `/proc`.
pub(super) struct Process {
    directory: PathBuf,
}

impl Process {
    /// Finds the process.
    pub(crate) fn new(pid: u32) -> anyhow::Result<Self> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        if !directory.is_dir() {
            bail!("--pid {pid}: there is no such process, or this system has no /proc");
        }
        Ok(Self { directory })
    }

    /// Returns the CPU time of all its threads, to the nanosecond (`schedstat`).
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.schedstat(0)
    }

    /// Returns the time for which its threads were ready to run, while another process had the
    /// core.
    pub(crate) fn waited(&self) -> anyhow::Result<Duration> {
        self.schedstat(1)
    }

    fn schedstat(&self, field: usize) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(self.directory.join("task")).context("the server is gone")? {
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let word = text.split_whitespace().nth(field).and_then(|n| n.parse::<u64>().ok());
            nanos += word.context("/proc has no schedstat")?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Returns the resident memory, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let text =
            fs::read_to_string(self.directory.join("status")).context("the server is gone")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        Ok(kib.context("/proc has no VmRSS")? * 1024)
    }

    /// Returns the resident memory once it is back at `wanted`, or as it is after some time: a
    /// server gives memory back when it chooses.
    pub(crate) fn memory_settled(&self, wanted: u64, within: Duration) -> anyhow::Result<u64> {
        let until = Instant::now() + within;
        loop {
            let memory = self.memory()?;
            if memory <= wanted || Instant::now() >= until {
                return Ok(memory);
            }
            thread::sleep(INTERVAL);
        }
    }
}

/// The CPU time of a run, of the server and of the load itself, where it is known.
pub(super) struct Used {
    pub wall: Duration,
    /// The server's CPU time.
    pub server: Option<Duration>,
    /// The load's CPU time.
    pub own: Option<Duration>,
    /// The time for which both waited for a core that another process had.
    pub waited: Option<Duration>,
}

/// Measures a run.
pub(super) struct Meter<'a> {
    server: Option<&'a Process>,
    own: Option<Process>,
    started: Instant,
    before: Used,
}

impl<'a> Meter<'a> {
    /// Begins to measure.
    pub(crate) fn start(server: Option<&'a Process>) -> anyhow::Result<Self> {
        let own = Process::new(std::process::id()).ok();
        let started = Instant::now();
        let before = Self::read(server, own.as_ref(), started)?;
        Ok(Self { server, own, started, before })
    }

    /// Returns the usage until now.
    pub(crate) fn used(&self) -> anyhow::Result<Used> {
        let after = Self::read(self.server, self.own.as_ref(), self.started)?;
        let more = |after: Option<Duration>, before: Option<Duration>| {
            Some(after?.saturating_sub(before?))
        };
        Ok(Used {
            wall: after.wall,
            server: more(after.server, self.before.server),
            own: more(after.own, self.before.own),
            waited: more(after.waited, self.before.waited),
        })
    }

    fn read(
        server: Option<&Process>,
        own: Option<&Process>,
        started: Instant,
    ) -> anyhow::Result<Used> {
        let waited = |(server, own): (&Process, &Process)| -> anyhow::Result<_> {
            Ok(server.waited()? + own.waited()?)
        };
        Ok(Used {
            wall: started.elapsed(),
            server: server.map(Process::cpu).transpose()?,
            own: own.map(Process::cpu).transpose()?,
            waited: server.zip(own).map(waited).transpose()?,
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_uses_time() {
        let own = Process::new(std::process::id()).unwrap();
        let before = own.cpu().unwrap();
        let mut work = 0u64;
        while own.cpu().unwrap() < before + Duration::from_millis(1) {
            work = std::hint::black_box(work + 1);
        }
        assert!(own.memory().unwrap() > 1 << 20);
        assert!(Process::new(u32::MAX).is_err());
    }
}
