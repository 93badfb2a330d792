//! The HTTP requests of a check.

use std::path::Path;

use anyhow::{Context, bail};
use callbox_tls::Term;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::{
    answers::refusal,
    stream::{self, Stream},
    tls::Tls,
};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// A server of HTTP or HTTPS.
pub(super) struct Http {
    authority: String,
    tls: Option<Tls>,
}

impl Http {
    /// Reads `http://host:port` or `https://host:port`. `ca_cert` is for the latter.
    pub(crate) fn new(url: &str, ca_cert: Option<&Path>) -> anyhow::Result<Self> {
        const EXPECTED: &str =
            "is not an address such as http://127.0.0.1:8080 or https://call.example.com";
        let (rest, usual_port, is_secure) = match url.split_once("://") {
            Some(("http", rest)) => (rest, 80, false),
            Some(("https", rest)) => (rest, 443, true),
            _ => bail!("{url} {EXPECTED}"),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            bail!("{url} {EXPECTED}, without a path");
        }
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = match has_port {
            true => authority.to_owned(),
            false => format!("{authority}:{usual_port}"),
        };
        let tls = is_secure.then(|| Tls::new(&authority, ca_cert)).transpose()?;
        Ok(Self { authority, tls })
    }

    /// Returns `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns true if the server is reached over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects to it.
    pub(crate) async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let tcp = stream::connect(&self.authority).await?;
        Ok(match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(stream::secure(tcp, tls).await?),
        })
    }

    /// Returns the time for which its certificate is valid, if it shows one.
    pub(crate) async fn term(&self) -> anyhow::Result<Option<Term>> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let tcp = stream::connect(&self.authority).await?;
        Ok(stream::term(&stream::secure(tcp, tls).await?))
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> anyhow::Result<Value> {
        self.send(Method::GET, path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, None, Some(body)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(&method).uri(path).header(HOST, &self.authority);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or(Bytes::new(), |body| body.to_string().into());
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let status = response.status();
        if let Some(elsewhere) =
            response.headers().get(LOCATION).filter(|_| status.is_redirection())
        {
            let elsewhere = String::from_utf8_lossy(elsewhere.as_bytes()).into_owned();
            bail!(
                "{method} {path} leads to {elsewhere}: give the address that it leads to as --url"
            );
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        let answer: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{method} {path} answered {status}, and not with JSON"))?;
        if !status.is_success() {
            bail!("{method} {path} answered {status}: {}", refusal(&answer));
        }
        Ok(answer)
    }
}
