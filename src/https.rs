//! HTTP as a client, as little of it as is needed: one connection for each request. What is asked for
//! is asked for a few times a day.

use std::{fmt, io, sync::Arc, time::Duration};

use axum::{
    body::HttpBody,
    http::{
        HeaderValue, Request, Response, Uri,
        header::{CONNECTION, HOST, USER_AGENT},
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long one address may take to accept a connection. Names have several.
const CONNECT: Duration = Duration::from_secs(5);

/// Who asks.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("callbox/", env!("CARGO_PKG_VERSION")));

/// A failure, in words for the log.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A client that trusts the right roots.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// The roots that browsers trust.
pub fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

impl Client {
    /// Trusts these roots.
    ///
    /// # Errors
    /// If TLS cannot be set up at all.
    pub fn new(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Makes a request. An answer may have so many bytes; one that leads elsewhere is not followed.
    ///
    /// # Errors
    /// If there is no such answer.
    pub async fn exchange<B>(
        &self,
        mut request: Request<B>,
        max_answer: usize,
    ) -> Result<Response<Full<Bytes>>, Failure>
    where
        B: HttpBody<Data: Send, Error: Into<Failure>> + Send + 'static,
    {
        let uri = request.uri().clone();
        let (is_tls, host, port) = place(&uri)?;
        let authority = uri.authority().ok_or("it has no host")?.as_str();
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
        request.headers_mut().insert(USER_AGENT, AGENT);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        // A server is asked for a path (RFC 9112 §3.2.1).
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        let stream = connect(host, port).await?;
        match is_tls {
            true => {
                let name = ServerName::try_from(host.to_owned())?;
                send(self.tls.connect(name, stream).await?, request, max_answer).await
            }
            false => send(stream, request, max_answer).await,
        }
    }
}

/// Makes a request over this stream.
async fn send<B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<B>,
    max_answer: usize,
) -> Result<Response<Full<Bytes>>, Failure>
where
    B: HttpBody<Data: Send, Error: Into<Failure>> + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with this function, answered or not.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, max_answer).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// Where an address is: whether under TLS, a host without the brackets of IPv6, and a port.
fn place(uri: &Uri) -> Result<(bool, &str, u16), Failure> {
    let (is_tls, usual) = match uri.scheme_str() {
        Some("https") => (true, 443),
        Some("http") => (false, 80),
        _ => return Err("it is no https address".into()),
    };
    let host = uri.host().ok_or("it has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((is_tls, host, uri.port_u16().unwrap_or(usual)))
}

/// Connects to the first address of a host that answers in time.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        let at = |text: &'static str| Uri::from_static(text);
        let (named, v6) = (at("https://ca.example/directory"), at("https://[::1]:14000/dir"));
        assert_eq!(place(&named).unwrap(), (true, "ca.example", 443));
        assert_eq!(place(&v6).unwrap(), (true, "::1", 14000));
        assert_eq!(place(&at("http://127.0.0.1/")).unwrap(), (false, "127.0.0.1", 80));
        assert!(place(&at("ftp://ca.example/directory")).is_err());
        assert!(place(&at("/directory")).is_err());
    }
}
