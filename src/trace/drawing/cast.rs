//! The users that are drawn, and the addresses by which packets are known to be theirs.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use callbox_base::ids::UserId;

use super::item::Place;
use crate::trace::{
    details::{Facts, TracedCandidate},
    document::{CallTrace, What},
    text::{cut, printable},
};

/// The largest number of users that are drawn: more than a room has.
const MAX_USERS: usize = 16;

/// The largest number of columns of a name.
const MAX_NAME: usize = 40;

/// The users of a drawing.
#[derive(Debug)]
pub(super) struct Cast {
    users: HashMap<UserId, usize>,
    names: Vec<String>,
    /// The addresses of clients, and the users that they belong to.
    clients: HashMap<SocketAddr, usize>,
    /// The same by address alone; `None` if several users share it.
    machines: HashMap<IpAddr, Option<usize>>,
    /// The relayed addresses.
    relayed: HashMap<SocketAddr, usize>,
}

impl Cast {
    /// Collects the users and addresses of a trace.
    pub(super) fn new(trace: &CallTrace) -> Self {
        let drawn = trace.users.iter().take(MAX_USERS);
        let mut cast = Self {
            users: drawn.clone().enumerate().map(|(index, user)| (user.clone(), index)).collect(),
            names: drawn.enumerate().map(|(index, user)| name(index, user)).collect(),
            clients: HashMap::new(),
            machines: HashMap::new(),
            relayed: HashMap::new(),
        };
        for step in &trace.steps {
            cast.note(&step.what);
        }
        cast
    }

    fn note(&mut self, what: &What) {
        match what {
            What::Binding { user, client, .. } => self.note_client(user, *client),
            What::Turn { user, client, relayed, .. } => {
                self.note_client(user, *client);
                self.note_relayed(user, *relayed);
            }
            What::Request { user, facts: Facts { candidate: Some(candidate), .. }, .. } => {
                match candidate {
                    TracedCandidate::Host(address)
                    | TracedCandidate::Srflx(address)
                    | TracedCandidate::Prflx(address) => {
                        if let Some(address) = address.address {
                            self.note_client(user, address);
                        }
                    }
                    TracedCandidate::Relay(address) => self.note_relayed(user, address.address),
                    TracedCandidate::End | TracedCandidate::Unreadable => {}
                }
            }
            _ => {}
        }
    }

    fn note_client(&mut self, user: &UserId, client: SocketAddr) {
        if let Some(index) = self.index(user) {
            self.clients.entry(client).or_insert(index);
            let machine = self.machines.entry(client.ip()).or_insert(Some(index));
            *machine = machine.filter(|known| *known == index);
        }
    }

    fn note_relayed(&mut self, user: &UserId, relayed: Option<SocketAddr>) {
        if let (Some(index), Some(relayed)) = (self.index(user), relayed) {
            self.relayed.insert(relayed, index);
        }
    }

    fn index(&self, user: &UserId) -> Option<usize> {
        self.users.get(user).copied()
    }

    /// Returns the place of a user, if it is drawn.
    pub(super) fn place(&self, user: &UserId) -> Option<Place> {
        self.index(user).map(Place::User)
    }

    /// Returns the place of the other user of a call of two.
    pub(super) fn other(&self, user: &UserId) -> Option<Place> {
        match (self.names.len(), self.index(user)) {
            (2, Some(index)) => Some(Place::User(1 - index)),
            _ => None,
        }
    }

    /// Returns the place of the client that a peer of the relay is, if it is known, and no relayed
    /// address: behind one of these is the relay itself.
    pub(super) fn client(&self, peer: SocketAddr) -> Option<Place> {
        if self.relayed.contains_key(&peer) {
            return None;
        }
        let by_machine = || self.machines.get(&peer.ip()).copied().flatten();
        self.clients.get(&peer).copied().or_else(by_machine).map(Place::User)
    }

    /// Returns the letter of the user that a relayed address belongs to.
    pub(super) fn relayed_for(&self, peer: SocketAddr) -> Option<String> {
        self.relayed.get(&peer).map(|index| Place::User(*index).id())
    }

    /// Returns the first place and the last one of all users.
    pub(super) fn everyone(&self) -> (Place, Place) {
        match self.names.len() {
            0 => (Place::Signaling, Place::Signaling),
            n => (Place::User(0), Place::User(n - 1)),
        }
    }

    /// Returns the names, which may be drawn.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.clone()
    }
}

/// Returns the name of a user as it may be drawn.
fn name(index: usize, user: &UserId) -> String {
    match cut(printable(user.as_str()).trim(), MAX_NAME) {
        empty if empty.is_empty() => format!("user {}", index + 1),
        name => name,
    }
}
