//! How the CA is asked: one connection for each request. There are a dozen in an order, and an
//! order every two months.

use std::{
    fmt, io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::acceptor::{CertificateError, client_config};

/// How long a request may take from the look-up of the name to the end of the answer.
const REQUEST: Duration = Duration::from_secs(30);

/// How long one address may take to accept a connection. Names have several.
const CONNECT: Duration = Duration::from_secs(5);

/// How many bytes an answer may have. Chains of certificates come to some ten thousand.
const MAX_ANSWER: usize = 1024 * 1024;

/// Who asks (RFC 8555 §6.1).
const AGENT: HeaderValue = HeaderValue::from_static(concat!("callbox/", env!("CARGO_PKG_VERSION")));

/// A client that trusts the right roots.
#[derive(Clone)]
pub(super) struct Https {
    tls: TlsConnector,
    /// When the CA wants to hear of us again, if it has said so.
    not_before: Arc<Mutex<Option<SystemTime>>>,
}

/// A failure, in words for the log: the library passes it on.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Https")
    }
}

impl Https {
    /// Trusts the certificates in this file, or those that browsers trust.
    ///
    /// # Errors
    /// [`CertificateError`] if the file has none.
    pub fn new(roots: Option<&Path>) -> Result<Self, CertificateError> {
        let config = client_config("--acme-ca-cert", roots)?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), not_before: Arc::default() })
    }

    /// When the CA wants to hear of us again, if the last refusal said so (RFC 8555 §6.6).
    pub fn take_not_before(&self) -> Option<SystemTime> {
        self.not_before.lock().expect("taking a value does not panic").take()
    }

    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Failure> {
        let uri = request.uri().clone();
        let (host, port) = place(&uri)?;
        let stream = connect(host, port).await?;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = self.tls.connect(name, stream).await?;
        let authority = uri.authority().ok_or("it has no host")?.as_str();
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
        request.headers_mut().insert(USER_AGENT, AGENT);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        // A server is asked for a path (RFC 9112 §3.2.1).
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with this function, answered or not.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    /// Keeps what a refusal says of when to come again, and turns one that the library could not
    /// read into an error that says what came.
    fn judge(
        &self,
        response: Response<Full<Bytes>>,
        is_post: bool,
    ) -> Result<BytesResponse, Failure> {
        let (status, headers) = (response.status(), response.headers());
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let not_before = retry_after(headers, SystemTime::now());
            *self.not_before.lock().expect("setting a value does not panic") = not_before;
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        // Problem documents are JSON (RFC 8555 §6.7); what a proxy in front says is not. The library
        // reads them where it has posted something.
        match status.is_success() || (is_post && kind.contains("json")) {
            true => Ok(response.into()),
            false => Err(format!("it answers {status}").into()),
        }
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let (uri, is_post) = (request.uri().clone(), request.method() == Method::POST);
            let answer = match timeout(REQUEST, this.exchange(request)).await {
                Ok(answer) => answer.and_then(|response| this.judge(response, is_post)),
                Err(_) => Err(format!("no answer within {REQUEST:?}").into()),
            };
            answer.map_err(|error| instant_acme::Error::Other(format!("{uri}: {error}").into()))
        })
    }
}

/// Where an address is: a host without the brackets of IPv6, and a port. Nothing but HTTPS is
/// spoken (RFC 8555 §6.1), wherever a directory points to.
fn place(uri: &Uri) -> Result<(&str, u16), Failure> {
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => {
            Ok((host.trim_start_matches('[').trim_end_matches(']'), uri.port_u16().unwrap_or(443)))
        }
        _ => Err("it is no https address".into()),
    }
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

/// The moment that `Retry-After` names, as seconds or as a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => now.checked_add(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        let at = |text: &'static str| Uri::from_static(text);
        let (plain, v6) = (at("https://ca.example/directory"), at("https://[::1]:14000/dir"));
        assert_eq!(place(&plain).unwrap(), ("ca.example", 443));
        assert_eq!(place(&v6).unwrap(), ("::1", 14000));
        assert!(place(&at("http://ca.example/directory")).is_err());
        assert!(place(&at("/directory")).is_err());
    }

    #[test]
    fn when_to_come_again_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text)]), now);
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        assert_eq!(read(HeaderValue::from_static("120")), after(120));
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(read(date), after(60));
        assert_eq!(read(HeaderValue::from_static("soon")), None);
        assert_eq!(read(HeaderValue::from_static("18446744073709551615")), None);
    }
}
