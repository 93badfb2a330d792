//! One cell: two peers in a lab of their own.

use std::{
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use callbox_natlab_peer::{CandidateType, Outcome, Selected};
use serde::{Deserialize, Serialize};

use super::{Path, Peers, predict};
use crate::{
    error::{LabError, Tried},
    kind::Kind,
    lab::Lab,
    plan::Plan,
    process::Process,
};

/// The time beyond --timeout for the start of the programs and for the packets.
const ALLOWANCE: Duration = Duration::from_secs(60);

/// The result for a pair of kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    a: Kind,
    b: Kind,
    path: Path,
    /// The types of the candidates of a and b, as the other side sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidates: Option<[CandidateType; 2]>,
    /// The longer one of the two times to connect, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connect_ms: Option<u64>,
    /// The number of packets that both have sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<u32>,
    /// The number of these that were lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u32>,
    /// The reason why there is no path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Cell {
    /// Returns the kinds of both sides.
    pub fn kinds(&self) -> [Kind; 2] {
        [self.a, self.b]
    }

    /// Returns the path that was found.
    pub fn path(&self) -> Path {
        self.path
    }

    /// Returns the path that the RFCs predict.
    pub fn predicted(&self) -> Path {
        predict(&self.a, &self.b)
    }

    /// Returns the types of the candidates of a and b, as the other side sees them, if there is a
    /// path. A NAT's address is `srflx` or `prflx` then, and not that of its host.
    pub fn candidates(&self) -> Option<[CandidateType; 2]> {
        self.candidates
    }

    /// Returns the time to connect, if the peers have measured it.
    pub fn connect_time(&self) -> Option<Duration> {
        self.connect_ms.map(Duration::from_millis)
    }

    /// Returns the numbers of packets that both have sent, and of those that were lost, if the
    /// peers have counted them.
    pub fn packets(&self) -> Option<(u32, u32)> {
        self.sent.zip(self.lost)
    }

    /// Returns the reason why there is no path.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns `a × b`.
    pub(super) fn name(&self) -> String {
        format!("{} × {}", self.a, self.b)
    }

    /// Measures a pair of kinds.
    pub(super) fn measure(
        [a, b]: [Kind; 2],
        peers: &Peers,
        executable: &std::path::Path,
        timeout: u64,
    ) -> Result<Self, LabError> {
        let mut plan = Plan::pair(a, b);
        plan.executable(executable);
        let lab = Lab::start(&plan)?;
        let spawn = |side: &str| lab.spawn(side, peers.task(side == "a", timeout));
        let processes = [spawn("a")?, spawn("b")?];
        let deadline = Instant::now() + Duration::from_secs(timeout) + ALLOWANCE;
        Ok(Self::new([a, b], converse(processes, deadline)?))
    }

    pub(super) fn new([a, b]: [Kind; 2], outcomes: [Outcome; 2]) -> Self {
        let failed = |reason| Self {
            a,
            b,
            path: Path::Failed,
            candidates: None,
            connect_ms: None,
            sent: None,
            lost: None,
            reason: Some(reason),
        };
        let [of_a, of_b] = match outcomes {
            [Outcome::Selected(of_a), Outcome::Selected(of_b)] => [of_a, of_b],
            [Outcome::Failed { failed: reason }, Outcome::Selected(_)] => {
                return failed(format!("a: {reason}"));
            }
            [Outcome::Selected(_), Outcome::Failed { failed: reason }] => {
                return failed(format!("b: {reason}"));
            }
            [Outcome::Failed { failed: of_a }, Outcome::Failed { failed: of_b }] => {
                return failed(match of_a == of_b {
                    true => of_a,
                    false => format!("a: {of_a}; b: {of_b}"),
                });
            }
        };
        let both = |number: fn(&Selected) -> Option<u32>| Some(number(&of_a)? + number(&of_b)?);
        Self {
            a,
            b,
            path: Path::of(&of_a, &of_b),
            candidates: Some([of_b.remote.kind, of_a.remote.kind]),
            connect_ms: of_a.connect_ms.max(of_b.connect_ms),
            sent: both(|selected| selected.sent),
            lost: both(|selected| selected.lost),
            reason: None,
        }
    }
}

/// Carries the lines of each program to the other one, and returns the outcomes of both.
fn converse([mut a, mut b]: [Process; 2], deadline: Instant) -> Result<[Outcome; 2], LabError> {
    let ends = [
        (a.take_stdout(), b.take_stdin(), a.take_stderr()),
        (b.take_stdout(), a.take_stdin(), b.take_stderr()),
    ];
    let (sender, outcomes) = mpsc::channel();
    for (side, ends) in ends.into_iter().enumerate() {
        let (Some(from), Some(to), Some(errors)) = ends else {
            return Err(LabError::new("a program of the matrix has no pipes"));
        };
        let sender = sender.clone();
        let watch = move || {
            // The receiver has given up after the deadline.
            let _ = sender.send((side, watch(from, to, errors)));
        };
        thread::Builder::new().spawn(watch).tried("no thread can be started")?;
    }
    // Nothing tells a program that is not done yet that the other one has ended well.
    let mut open = Vec::new();
    let mut found = [None, None];
    while found.iter().any(Option::is_none) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((side, (outcome, to))) = outcomes.recv_timeout(left) else {
            break;
        };
        if matches!(outcome, Outcome::Selected(_)) {
            open.push(to);
        }
        found[side] = Some(outcome);
    }
    let late = || Outcome::Failed { failed: "it has not ended in time".to_owned() };
    Ok(found.map(|outcome| outcome.unwrap_or_else(late)))
}

/// Returns the outcome of a program, and the input of the other one. Without an outcome, the reason
/// is the last line on stderr.
fn watch(from: PipeReader, mut to: PipeWriter, errors: PipeReader) -> (Outcome, PipeWriter) {
    // Apart, since a child that the program has left may have stderr open.
    let errors = thread::spawn(|| last_line(errors));
    let outcome = carry(from, &mut to).unwrap_or_else(|| {
        let error = errors.join().ok().flatten();
        let unknown = || "it has ended and has not printed a selected pair".to_owned();
        Outcome::Failed { failed: error.unwrap_or_else(unknown) }
    });
    (outcome, to)
}

/// Carries lines until one is an outcome, and returns that.
fn carry(from: PipeReader, to: &mut PipeWriter) -> Option<Outcome> {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if let Ok(outcome) = serde_json::from_str(&line) {
            return Some(outcome);
        }
        // The other program may have ended, or may not read.
        let _ = writeln!(to, "{line}");
    }
    None
}

/// Reads to the end, and returns the last line that is not empty.
fn last_line(pipe: PipeReader) -> Option<String> {
    let lines = BufReader::new(pipe).lines().map_while(Result::ok);
    lines.filter(|line| !line.trim().is_empty()).last()
}
