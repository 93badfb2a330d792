//! A server inside the process of a test, on free ports of loopback.
//!
//! For the tests of applications that use callbox: each test starts a server of its own, makes
//! tokens and TURN credentials for its users, and lets its clients connect.
//!
//! ```
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use callbox::testing::Server;
//!
//! let server = Server::builder().force_relay().option("max-lifetime", "60s").start().await?;
//! let credentials = server.credentials("alice")?;
//! println!("{} {} {:?}", server.websocket_url(), server.token("alice")?, credentials.uris);
//! // Or drop it: both end its connections, and its addresses are free again afterwards.
//! server.stop().await;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test()).unwrap();
//! ```
//!
//! A server runs as with `callbox serve --dev`: it listens on `127.0.0.1`, its secrets are
//! generated, and its relay reaches loopback addresses. It has a thread and a runtime of its own,
//! and the relay has its workers, so that it works with any runtime of the test, also with one that
//! is dropped, blocked, or has its time paused. Nothing of it is global: it reads no environment
//! variable, sets up no log and handles no signal, so that many servers run in one process. Its log
//! goes to the `tracing` subscriber of the thread that starts it, except for the relay's, which
//! goes to the global subscriber.

mod builder;
mod error;
mod host;

use std::time::Duration;

use callbox_base::{auth::TurnSecrets, clock::Now, ids::UserId};
use callbox_signaling::jwt::{DEFAULT_TTL, TokenMinter};

pub use self::{
    builder::Builder,
    error::{StartError, TokenError},
};
use self::{builder::Setup, host::Host};
pub use callbox_base::auth::TurnCredentials;
pub use callbox_signaling::jwt::{Grants, Wanted};

use crate::{acceptor::CertificateSource, server::Ready};

/// A running server. It stops when it is dropped.
pub struct Server {
    host: Host,
    ready: Ready,
    minter: Option<TokenMinter>,
    turn_secrets: TurnSecrets,
    credential_ttl: Duration,
    is_self_signed: bool,
    api_key: String,
}

impl Server {
    /// Starts a server with the default options.
    ///
    /// # Errors
    /// [`StartError::Start`] if the system has no ports or no threads left.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Returns a builder, for a server with other options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn run(setup: Setup) -> Result<Self, StartError> {
        let Setup { config, api_key } = setup;
        let minter = config.http.minter.clone();
        let turn_secrets = config.signaling.turn_secrets.clone();
        let credential_ttl = config.signaling.credential_ttl;
        let is_self_signed =
            matches!(config.acceptor.certificate, Some(CertificateSource::SelfSigned));
        let (host, ready) = Host::start(config).await?;
        Ok(Self { host, ready, minter, turn_secrets, credential_ttl, is_self_signed, api_key })
    }

    /// Returns the base URL of HTTP, such as `http://127.0.0.1:40001`: of the REST API, the demo
    /// page and `callbox.js`.
    pub fn http_url(&self) -> &str {
        &self.ready.http
    }

    /// Returns the base URL of HTTPS, if an option sets a certificate.
    pub fn https_url(&self) -> Option<&str> {
        self.ready.https.as_deref()
    }

    /// Returns the URL of the WebSocket protocol.
    pub fn websocket_url(&self) -> &str {
        &self.ready.websocket
    }

    /// Returns the URL of the Socket.IO protocol.
    pub fn socket_io_url(&self) -> &str {
        &self.ready.socket_io
    }

    /// Returns the `stun:` URIs.
    pub fn stun_uris(&self) -> &[String] {
        &self.ready.stun
    }

    /// Returns the `turn:` and `turns:` URIs: UDP first, then TCP, then TLS. Unless an option sets a
    /// certificate, that of TLS is self-signed, and clients are told the other URIs alone.
    pub fn turn_uris(&self) -> &[String] {
        &self.ready.turn
    }

    /// Returns the key of the REST API, for `Authorization: Bearer`.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Returns a token with which a user signs in, valid for an hour, without restrictions.
    ///
    /// # Errors
    /// [`TokenError`] if that is not a user id, or an option removed the secret of tokens.
    pub fn token(&self, user: &str) -> Result<String, TokenError> {
        let (user, ttl) = (user_id(user)?, DEFAULT_TTL);
        self.token_with(&Wanted { user, name: None, ttl, grants: Grants::default() })
    }

    /// Returns a token with these contents.
    ///
    /// # Errors
    /// [`TokenError`] if the server would refuse it, or an option removed the secret of tokens.
    pub fn token_with(&self, wanted: &Wanted) -> Result<String, TokenError> {
        let minter = self.minter.as_ref().ok_or(TokenError::NoSecret)?;
        Ok(minter.mint(wanted, Now::read())?.token)
    }

    /// Returns TURN credentials of a user that are not for one call: `username`, `password`, the
    /// seconds in which they open allocations, and the URIs of the relay that clients are told.
    ///
    /// # Errors
    /// [`TokenError`] if that is not a user id.
    pub fn credentials(&self, user: &str) -> Result<TurnCredentials, TokenError> {
        let (user, ttl) = (user_id(user)?, self.credential_ttl);
        let is_told = |uri: &&String| !(self.is_self_signed && uri.starts_with("turns:"));
        let uris: Vec<_> = self.turn_uris().iter().filter(is_told).cloned().collect();
        let minted = self.turn_secrets.mint(Now::read(), ttl, &user, None, &uris);
        minted.ok_or(TokenError::NoSecret)
    }

    /// Stops the server as SIGTERM does: calls end, clients are told, connections are closed.
    /// Returns when its addresses are free again.
    pub async fn stop(self) {
        self.host.stop().await;
    }
}

fn user_id(text: &str) -> Result<UserId, TokenError> {
    text.parse().map_err(|error| TokenError::User { user: text.to_owned(), error })
}
