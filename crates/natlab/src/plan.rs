//! The description of a lab before it is built.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{LabError, kind::Kind, quality::Quality};

/// The most sides that the address plan has room for.
pub(crate) const MOST_SIDES: usize = 30;

/// The name of the public network, where programs can run as on a side.
pub(crate) const INTERNET: &str = "internet";

/// The server of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerChoice {
    /// callbox, with generated secrets.
    Callbox,
    /// No server.
    None,
    /// Servers that somebody else starts, in the lab's public network.
    Elsewhere {
        /// The STUN server, as `stun:IP:PORT`.
        stun: Option<String>,
        /// The TURN server, as `turn:IP:PORT?transport=udp`; several are separated by commas.
        turn: Option<String>,
        /// The user at the TURN server.
        username: Option<String>,
        /// The password at the TURN server.
        password: Option<String>,
    },
}

/// A side: a host and its way to the public network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) link: Quality,
    pub(crate) mtu: Option<u32>,
}

/// The description of a lab: its sides and its server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub(crate) sides: Vec<Side>,
    pub(crate) server: ServerChoice,
    pub(crate) executable: PathBuf,
}

impl Plan {
    /// Describes a lab without sides, with callbox as its server.
    pub fn new() -> Self {
        Self {
            sides: Vec::new(),
            server: ServerChoice::Callbox,
            executable: PathBuf::from("/proc/self/exe"),
        }
    }

    /// Describes a lab with the sides `a` and `b`, and with callbox as its server.
    pub fn pair(a: Kind, b: Kind) -> Self {
        let side = |name: &str, kind| Side::new(name, kind);
        Self { sides: vec![side("a", a), side("b", b)], ..Self::new() }
    }

    /// Adds a side.
    ///
    /// # Errors
    /// The name is taken or cannot be one, or there is no room for more sides.
    pub fn add(&mut self, name: &str, kind: Kind) -> Result<(), LabError> {
        self.add_side(Side::new(name, kind))
    }

    pub(crate) fn add_side(&mut self, side: Side) -> Result<(), LabError> {
        let name = &side.name;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(fits) || name == INTERNET {
            return Err(LabError::new(format!(
                "`{name}` cannot be a side: a name has letters, digits, `-` and `_`, up to 32 of \
                 them, and is not `{INTERNET}`"
            )));
        }
        if self.sides.iter().any(|other| other.name == *name) {
            return Err(LabError::new(format!("there are two sides with the name `{name}`")));
        }
        if self.sides.len() == MOST_SIDES {
            return Err(LabError::new(format!("a lab has up to {MOST_SIDES} sides")));
        }
        self.sides.push(side);
        Ok(())
    }

    /// Sets the server.
    pub fn server(&mut self, server: ServerChoice) -> &mut Self {
        self.server = server;
        self
    }

    /// Sets the `callbox` binary that runs the lab and is its server. By default it is the program
    /// of this process; a program that is another one names it here.
    pub fn executable(&mut self, path: &Path) -> &mut Self {
        self.executable = path.to_owned();
        self
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}

impl Side {
    fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, link: Quality::default(), mtu: None }
    }
}
