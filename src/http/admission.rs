//! The admission of a request before it is read: its sender, and a slot for it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use axum::{
    http::{HeaderMap, Request, StatusCode, header::ORIGIN},
    response::{IntoResponse, Response},
};
use callbox_signaling::{ErrorCode, RequestError};
use tracing::Level;

use super::{
    app::App,
    arrival::{Arrival, Entrance, Remote, Way},
    cors,
    error::ApiError,
    forwarded::{self, Scheme, Sender},
    limits::{ConnectionLimits, Share},
};

/// The slot of the client whose WebSocket a proxy's connection has become.
pub(super) type Upgraded = Arc<OnceLock<Share>>;

/// The admission of the requests of one connection.
pub(super) struct Admission {
    app: Arc<App>,
    connections: ConnectionLimits,
    arrival: Arrival,
    /// Set if the connection is a trusted proxy's, and its requests are of many clients.
    upgraded: Option<Upgraded>,
}

/// A request that is admitted.
pub(super) struct AdmittedRequest {
    client: IpAddr,
    share: Option<Share>,
    /// The fields of the log line: the sender, the method and the kind of page.
    log_fields: Option<(SocketAddr, String, &'static str)>,
}

impl AdmittedRequest {
    /// Returns the address of the client.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }
}

impl Admission {
    pub(super) fn new(
        app: Arc<App>,
        connections: ConnectionLimits,
        arrival: Arrival,
        upgraded: Option<Upgraded>,
    ) -> Self {
        Self { app, connections, arrival, upgraded }
    }

    /// Determines the sender of a request, and stores it for the handlers. A request on a proxy's
    /// connection takes one of its client's slots for as long as it is being answered.
    ///
    /// # Errors
    /// The client has as many slots as it may, or its address cannot be determined; for
    /// [`Admission::refuse`].
    pub(super) fn admit<B>(&self, request: &mut Request<B>) -> Result<AdmittedRequest, ApiError> {
        let Arrival { remote, by_proxy, entrance, is_tls, .. } = self.arrival;
        let sender = forwarded::sender(remote, &self.app.trusted_proxies, request.headers());
        let sender = sender.map_err(|error| {
            tracing::debug!(proxy = %remote.ip(), %error, "request refused");
            ApiError::invalid(error.to_string())
        })?;
        let share = self.share(&sender)?;
        let by_proxy =
            by_proxy || self.upgraded.is_some() || forwarded::is_marked(request.headers());
        let scheme = if is_tls { Some(Scheme::Https) } else { sender.scheme };
        let log_fields = tracing::enabled!(Level::DEBUG).then(|| {
            (sender.address, request.method().to_string(), kind_of_page(request.uri().path()))
        });
        let extensions = request.extensions_mut();
        extensions.insert(Remote(sender.address));
        // The connections of a proxy on this machine come from here, too, while its clients are
        // elsewhere.
        let is_local = remote.ip().is_loopback() && !by_proxy;
        extensions.insert(Way { by_proxy, scheme, is_local });
        extensions.insert(if by_proxy { Entrance::Public } else { entrance });
        Ok(AdmittedRequest { client: sender.address.ip(), share, log_fields })
    }

    /// Takes a slot of the client's address, if the connection is a proxy's and has none for it.
    fn share(&self, sender: &Sender) -> Result<Option<Share>, ApiError> {
        if self.upgraded.is_none() || !sender.is_client {
            return Ok(None);
        }
        let share = self.connections.share(sender.address.ip());
        share.map(Some).map_err(|refusal| {
            self.app.counters.refusals(refusal).add();
            let message = "There are too many connections from your address.";
            let error = RequestError::new(ErrorCode::TooManyConnections, message);
            error.retry_after_ms(5000).into()
        })
    }

    /// Returns the answer to a refused request, which a page that may connect is permitted to read.
    pub(super) fn refuse(&self, headers: &HeaderMap, error: ApiError) -> Response {
        let mut response = error.into_response();
        if let Some(origin) = headers.get(ORIGIN)
            && self.app.origins.allow_from(headers, None, false)
        {
            cors::open(response.headers_mut(), origin.clone());
        }
        response
    }

    /// Logs an answered request. If its connection has become a WebSocket, the client's slot is
    /// kept until that ends.
    pub(super) fn answered(&self, admitted: AdmittedRequest, response: &Response) {
        let AdmittedRequest { share, log_fields, .. } = admitted;
        if let Some((client, method, page)) = log_fields {
            let (client, status) = (client.ip(), response.status().as_u16());
            tracing::debug!(%client, method, page, status, "request answered");
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(upgraded), Some(share)) = (&self.upgraded, share)
        {
            // A connection is upgraded once.
            let _ = upgraded.set(share);
        }
    }
}

/// Returns the kind of page that a path leads to. The path itself may hold private data.
fn kind_of_page(path: &str) -> &'static str {
    const KINDS: [&str; 7] =
        ["/ws", "/socket.io", "/api/v1", "/callbox.js", "/healthz", "/readyz", "/metrics"];
    let leads_to = |kind: &&&str| {
        path.strip_prefix(**kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    KINDS.iter().find(leads_to).copied().unwrap_or("other")
}
