//! The messages between a command and the manager.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{action::Action, kind::Kind};

/// A request to the manager of a lab.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Run a program on a side; stdin, stdout and stderr are attached.
    Spawn(Box<Spawn>),
    /// Change the network of a side.
    Act(String, Action),
    /// Name the sides and their environment.
    Describe,
    /// End the lab.
    Down,
}

/// A program to run on a side.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spawn {
    pub(crate) side: String,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// Its whole environment, but for the variables of the side.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) directory: PathBuf,
    /// True if it takes over the terminal at its stdin.
    pub(crate) has_terminal: bool,
}

/// An answer of the manager.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    /// The lab is up.
    Description(Description),
    /// The program runs. When it has ended, `Exited` follows.
    Started,
    /// The program has ended.
    Exited(Exit),
    /// It was done, as this sentence says.
    Done(String),
    /// It was not done.
    Failed(String),
}

/// The sides of a lab that is up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) kinds: BTreeMap<String, Kind>,
    /// The environment of programs, by side.
    pub(crate) environments: BTreeMap<String, BTreeMap<String, String>>,
    /// The means by which the link of each side is made, if it is not ideal.
    pub(crate) links: BTreeMap<String, String>,
}

/// The end of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It has ended with this code.
    Code(u8),
    /// A signal has ended it.
    Signal(i32),
}

impl Exit {
    /// Returns true for code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// Returns the code, or 128 and the signal, as a shell does.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128u8.saturating_add(u8::try_from(signal).unwrap_or(127)),
        }
    }
}
