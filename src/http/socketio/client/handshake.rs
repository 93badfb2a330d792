//! The first request of a client.

use std::sync::Arc;

use crate::http::{arrival::Remote, socketio::engine::Revision};

/// The properties of a client that are known from its first request.
pub(in crate::http::socketio) struct Handshake {
    /// The source of its requests.
    pub remote: Remote,
    /// The protocol that it speaks.
    pub revision: Revision,
    /// The `User-Agent` header, which identifies the client and its network library.
    pub user_agent: Option<Box<str>>,
    /// The token of its `Authorization` header, for a client that has no other way to send it.
    pub token: Option<Box<str>>,
    /// The keys of the hash that identifies clients.
    pub marks: Arc<std::hash::RandomState>,
}
