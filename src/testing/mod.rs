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
//! It fails where the test wants it to, and is restarted as by an operator:
//!
//! ```
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! # use callbox::testing::Server;
//! use serde_json::json;
//!
//! let server = Server::builder().allow_faults().start().await?;
//! // Relayed packets are lost from now on, and the credentials made until now are over.
//! let loss = json!([{ "lossPercent": 5 }]);
//! let expiry = json!([{ "action": "expireCredentials" }]);
//! server.faults(json!({ "packets": loss, "actions": expiry })).await?;
//! // … the application goes on …
//! let report = server.end_faults().await?;
//! println!("{} packets were lost", report.injected.packets_lost);
//! // The same addresses and secrets, without the allocations.
//! let server = server.restart().await?;
//! # drop(server);
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
mod setup;

use std::time::Duration;

use callbox_base::{auth::TurnSecrets, clock::Now, ids::UserId};
use callbox_signaling::jwt::{DEFAULT_TTL, TokenMinter};

pub use self::{
    builder::Builder,
    error::{FaultsError, StartError, TokenError},
};
use self::{host::Host, setup::Setup};
pub use crate::faults::{ActionResult, FaultError, FaultReport, InjectedFaults};
pub use callbox_base::auth::TurnCredentials;
pub use callbox_signaling::jwt::{Grants, Wanted};

use crate::{acceptor::CertificateSource, faults::FaultDocument, server::Ready};

/// A running server. It stops when it is dropped.
pub struct Server {
    host: Host,
    setup: Setup,
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
        let config = setup.config()?;
        let api_key = config.dev.as_ref().and_then(|secrets| secrets.api.expose_text());
        let api_key = api_key.unwrap_or_default().to_owned();
        let minter = config.http.minter.clone();
        let turn_secrets = config.signaling.turn_secrets.clone();
        let credential_ttl = config.signaling.credential_ttl;
        let is_self_signed =
            matches!(config.acceptor.certificate, Some(CertificateSource::SelfSigned));
        let (host, ready) = Host::start(config).await?;
        Ok(Self {
            host,
            setup,
            ready,
            minter,
            turn_secrets,
            credential_ttl,
            is_self_signed,
            api_key,
        })
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

    /// Injects faults in place of all current ones, and executes the document's actions. The
    /// document is that of `PUT /api/v1/faults`, which `docs/faults.md` describes. Returns the faults
    /// and the results of the actions once the server has taken them over.
    ///
    /// # Errors
    /// [`FaultsError::NotAllowed`] without [`Builder::allow_faults`], [`FaultsError::Document`] if
    /// the document is wrong.
    pub async fn faults(&self, document: serde_json::Value) -> Result<FaultReport, FaultsError> {
        self.host.faults(Some(FaultDocument::from_value(document)?)).await
    }

    /// Ends all faults, and returns what was injected.
    ///
    /// # Errors
    /// [`FaultsError::NotAllowed`] without [`Builder::allow_faults`].
    pub async fn end_faults(&self) -> Result<FaultReport, FaultsError> {
        self.host.faults(Some(FaultDocument::default())).await
    }

    /// Returns the faults that are in force, and what was injected.
    ///
    /// # Errors
    /// [`FaultsError::NotAllowed`] without [`Builder::allow_faults`].
    pub async fn current_faults(&self) -> Result<FaultReport, FaultsError> {
        self.host.faults(None).await
    }

    /// Stops the server, and starts it again with the same options, addresses and secrets, as an
    /// operator does: connections are closed and the relay's allocations are gone. Sessions are not
    /// resumed; clients sign in again. Calls end, unless `state-dir` is set: then they go on. Faults
    /// are those of the options again.
    ///
    /// # Errors
    /// [`StartError`] if another program has taken an address meanwhile. The server is gone then.
    pub async fn restart(self) -> Result<Self, StartError> {
        let Self { host, mut setup, ready, .. } = self;
        host.stop().await;
        setup.keep_addresses(&ready.listening);
        Self::run(setup).await
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
