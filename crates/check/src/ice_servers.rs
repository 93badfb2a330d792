//! The STUN and TURN servers that the server names.

use std::path::Path;

use anyhow::{Context, ensure};
use callbox_client::Login;
use serde_json::Value;

use super::{
    http::Http,
    server::{Server, read_credentials},
};

/// The answer of `GET /api/v1/ice-servers`.
pub(super) struct IceServers {
    stun: Vec<Server>,
    turn: Vec<Server>,
    credentials: Login,
}

impl IceServers {
    /// Asks the server, and resolves the addresses.
    pub(crate) async fn fetch(
        http: &Http,
        token: &str,
        ca_cert: Option<&Path>,
    ) -> anyhow::Result<(String, Self)> {
        let answer = http.get("/api/v1/ice-servers", Some(token)).await?;
        let entries = answer["iceServers"].as_array().context("the answer has no iceServers")?;
        let urls = entries.iter().flat_map(|entry| match &entry["urls"] {
            Value::Array(urls) => urls.clone(),
            url => vec![url.clone()],
        });
        let (mut stun, mut turn) = (Vec::new(), Vec::new());
        for url in urls {
            let url = url.as_str().context("an URL among iceServers is no text")?;
            let servers = if url.starts_with("stun:") { &mut stun } else { &mut turn };
            servers.push(Server::resolve(url, ca_cert).await?);
        }
        ensure!(!turn.is_empty(), "the server names no TURN address");
        let credentials = read_credentials(&answer["turnCredentials"])?;
        let detail =
            format!("{} STUN and {} TURN addresses, with credentials", stun.len(), turn.len());
        Ok((detail, Self { stun, turn, credentials }))
    }

    /// Returns the STUN servers.
    pub(crate) fn stun(&self) -> &[Server] {
        &self.stun
    }

    /// Returns the TURN servers.
    pub(crate) fn turn(&self) -> &[Server] {
        &self.turn
    }

    /// Returns the credentials for the TURN servers.
    pub(crate) fn credentials(&self) -> &Login {
        &self.credentials
    }
}
