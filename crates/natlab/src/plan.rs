//! The description of a lab before it is built.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{LabError, kind::Kind, quality::Quality};

/// The most sides, and the most networks, that the address plan has room for.
pub(crate) const MOST: usize = 30;

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

/// A network with one way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The index of the network that it is in; `None` for the public one.
    pub(crate) behind: Option<usize>,
}

/// A side: a host in a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) name: String,
    /// The index of its network.
    pub(crate) network: usize,
    pub(crate) link: Quality,
    pub(crate) mtu: Option<u32>,
}

/// The description of a lab: its sides and its server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Each is after the one that it is behind.
    pub(crate) networks: Vec<Network>,
    pub(crate) sides: Vec<Side>,
    pub(crate) server: ServerChoice,
    pub(crate) executable: PathBuf,
}

impl Plan {
    /// Describes a lab without sides, with callbox as its server.
    pub fn new() -> Self {
        Self {
            networks: Vec::new(),
            sides: Vec::new(),
            server: ServerChoice::Callbox,
            executable: PathBuf::from("/proc/self/exe"),
        }
    }

    /// Describes a lab with the sides `a` and `b`, and with callbox as its server.
    pub fn pair(a: Kind, b: Kind) -> Self {
        let mut plan = Self::new();
        for (name, kind) in [("a", a), ("b", b)] {
            let network = plan.push_network(name, kind, None);
            plan.push_side(name, network, Quality::default(), None);
        }
        plan
    }

    /// Adds a side with a network of its own.
    ///
    /// # Errors
    /// The name is taken or cannot be one, or there is no room for more sides.
    pub fn add(&mut self, name: &str, kind: Kind) -> Result<(), LabError> {
        self.check_name(name)?;
        let network = self.push_network(name, kind, None);
        self.push_side(name, network, Quality::default(), None);
        Ok(())
    }

    /// Checks that a side or a network can have this name.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), LabError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(fits) || name == INTERNET {
            return Err(LabError::new(format!(
                "`{name}` cannot be a name: one has letters, digits, `-` and `_`, up to 32 of them, \
                 and is not `{INTERNET}`"
            )));
        }
        let is_taken = self.networks.iter().any(|network| network.name == name);
        if is_taken || self.sides.iter().any(|side| side.name == name) {
            return Err(LabError::new(format!("there are two with the name `{name}`")));
        }
        if self.sides.len().max(self.networks.len()) == MOST {
            return Err(LabError::new(format!("a lab has up to {MOST} sides and networks")));
        }
        Ok(())
    }

    /// Adds a network, and returns its index.
    pub(crate) fn push_network(&mut self, name: &str, kind: Kind, behind: Option<usize>) -> usize {
        self.networks.push(Network { name: name.to_owned(), kind, behind });
        self.networks.len() - 1
    }

    pub(crate) fn push_side(
        &mut self,
        name: &str,
        network: usize,
        link: Quality,
        mtu: Option<u32>,
    ) {
        self.sides.push(Side { name: name.to_owned(), network, link, mtu });
    }

    /// Returns the kind of the network of a side.
    pub(crate) fn kind(&self, side: &Side) -> Kind {
        self.networks[side.network].kind
    }

    /// Returns the number of hosts and networks in a network.
    pub(crate) fn members(&self, network: usize) -> usize {
        let sides = self.sides.iter().filter(|side| side.network == network).count();
        sides + self.networks.iter().filter(|inner| inner.behind == Some(network)).count()
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
