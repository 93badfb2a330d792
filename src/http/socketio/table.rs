//! The clients that poll, by the id in their requests.

use std::{
    collections::HashMap,
    hash::RandomState,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::sync::mpsc;

use super::polling::{COMMANDS, Command};
use crate::http::{
    app::App,
    counters::Refusal,
    limits::{ConnectionLimits, Purpose, Slot},
};

/// The number of random bytes in an id, enough that it cannot be guessed.
const ID_BYTES: usize = 15;

/// The state of the Socket.IO protocol.
pub(in crate::http) struct SocketIo {
    pub(super) app: Arc<App>,
    /// The keys of the hash that identifies clients.
    pub(super) marks: Arc<RandomState>,
    /// The slots of clients that poll, which hold no connection.
    slots: ConnectionLimits,
    table: Arc<Table>,
}

#[derive(Default)]
struct Table {
    clients: Mutex<HashMap<Arc<str>, mpsc::Sender<Command>>>,
}

/// A client's entry; it is removed when this is dropped.
pub(super) struct Listed {
    id: Arc<str>,
    table: Arc<Table>,
    _slot: Slot,
}

impl SocketIo {
    /// Creates the state for this many polling clients, in all and from one address.
    pub(crate) fn new(app: Arc<App>, max: usize, max_per_address: usize) -> Self {
        let slots = ConnectionLimits::new(max, max_per_address, usize::MAX);
        Self { app, marks: Arc::default(), slots, table: Arc::default() }
    }

    /// Generates an id that cannot be guessed.
    pub(super) fn id(&self) -> Arc<str> {
        let mut bytes = [0; ID_BYTES];
        self.app.random(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    /// Adds a client that polls, if there is room for it, and returns the receiver of its requests'
    /// commands.
    pub(super) fn enter(
        &self,
        address: IpAddr,
    ) -> Result<(Listed, mpsc::Receiver<Command>), Refusal> {
        let slot = self.slots.enter_unnamed(Purpose::Http).and_then(|slot| slot.name(address));
        let slot = slot.map_err(|_| Refusal::Handshakes)?;
        let (sender, commands) = mpsc::channel(COMMANDS);
        let id = self.id();
        self.table.clients.lock().expect("adding does not panic").insert(id.clone(), sender);
        Ok((Listed { id, table: self.table.clone(), _slot: slot }, commands))
    }

    /// Returns the sender of commands to a client that polls.
    pub(super) fn find(&self, id: &str) -> Option<mpsc::Sender<Command>> {
        self.table.clients.lock().expect("looking does not panic").get(id).cloned()
    }
}

impl Listed {
    /// Returns the id in the requests of the client.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut clients = self.table.clients.lock().expect("removing does not panic");
        clients.remove(&self.id);
        // A table that was large once releases its memory.
        if clients.capacity() > 64 && clients.len() < clients.capacity() / 4 {
            let room = clients.len() * 2;
            clients.shrink_to(room);
        }
    }
}
