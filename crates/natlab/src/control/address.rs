//! The names of labs, and the sockets at which they are reached: abstract ones (unix(7)), which are
//! in no file system and end with the process that has them.

use std::{
    fs, io,
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    str::FromStr,
};

use callbox_sys as sys;
use serde::{Deserialize, Serialize};

/// The beginning of every address; the user and the name follow.
const PREFIX: &str = "callbox-natlab";

/// The name of a lab: letters, digits, `-`, `_` and `.`, up to 64 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LabName(String);

/// The error for a text that cannot name a lab.
#[derive(Debug, thiserror::Error)]
#[error("the name of a lab has letters, digits, `-`, `_` and `.`, and up to 64 of them")]
pub(crate) struct NameError;

impl FromStr for LabName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = !text.is_empty() && text.len() <= 64 && text.chars().all(fits);
        if is_name { Ok(Self(text.to_owned())) } else { Err(NameError) }
    }
}

impl LabName {
    /// Returns a name that no other lab has: of a lab that somebody else gave none.
    pub(crate) fn unique() -> Self {
        Self(format!("run-{}-{:08x}", std::process::id(), rand::random::<u32>()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Opens the socket of a lab in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `AddrInUse` if there is a lab of this name.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&self.address(own_user())?)
    }

    /// Connects to a lab of this user.
    ///
    /// # Errors
    /// `ConnectionRefused` if there is none; `PermissionDenied` if somebody else has the socket.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect_addr(&self.address(own_user())?)?;
        check_peer(&stream)?;
        Ok(stream)
    }

    fn address(&self, user: u32) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(format!("{PREFIX}/{user}/{}", self.0))
    }
}

/// Returns the user that sockets are named with. Root of a user namespace is its owner's user, in
/// the names of the host; inside of it, it is root.
fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Checks that the process at the other end is of the same user: abstract sockets have no
/// permissions.
///
/// # Errors
/// `PermissionDenied` if it is not.
pub(crate) fn check_peer(stream: &UnixStream) -> io::Result<()> {
    match sys::peer_user(stream.as_fd())? == own_user() {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Returns the names of the labs of this user in this network namespace.
///
/// # Errors
/// `/proc/net/unix` cannot be read.
pub(crate) fn all_names() -> io::Result<Vec<LabName>> {
    let table = fs::read_to_string("/proc/thread-self/net/unix")?;
    let prefix = format!("@{PREFIX}/{}/", own_user());
    // A connection has a row with the same address: state 01 is that of a listener.
    let listeners = table.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let name = columns.get(7)?.strip_prefix(&prefix)?;
        (columns.get(5) == Some(&"01")).then(|| name.parse().ok()).flatten()
    });
    let mut names: Vec<_> = listeners.collect();
    names.sort();
    Ok(names)
}
