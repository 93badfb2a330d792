//! How the CA is asked: one connection for each request. There are a dozen in an order, and an
//! order every two months.

use std::{
    fmt,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use bytes::Bytes;
use http_body_util::Full;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::timeout;

use crate::{
    acceptor::CertificateError,
    https::{Client, Failure, public_roots},
};

/// How long a request may take from the look-up of the name to the end of the answer.
const REQUEST: Duration = Duration::from_secs(30);

/// How many bytes an answer may have. Chains of certificates come to some ten thousand.
const MAX_ANSWER: usize = 1024 * 1024;

/// A client that trusts the right roots.
#[derive(Clone)]
pub(super) struct Https {
    client: Client,
    /// When the CA wants to hear of us again, if it has said so.
    not_before: Arc<Mutex<Option<SystemTime>>>,
}

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
        let roots = match roots {
            Some(path) => read_roots(path)?,
            None => public_roots(),
        };
        Ok(Self { client: Client::new(roots)?, not_before: Arc::default() })
    }

    /// When the CA wants to hear of us again, if the last refusal said so (RFC 8555 §6.6).
    pub fn take_not_before(&self) -> Option<SystemTime> {
        self.not_before.lock().expect("taking a value does not panic").take()
    }

    /// Nothing but HTTPS is spoken (RFC 8555 §6.1), wherever a directory points to.
    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Failure> {
        match request.uri().scheme_str() {
            Some("https") => self.client.exchange(request, MAX_ANSWER).await,
            _ => Err("it is no https address".into()),
        }
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

fn read_roots(path: &Path) -> Result<RootCertStore, CertificateError> {
    let option = "--acme-ca-cert";
    let pem = std::fs::read(path).map_err(|source| CertificateError::Read {
        option,
        path: path.into(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    match added {
        0 => Err(CertificateError::Nothing { option, path: path.into(), what: "certificate" }),
        _ => Ok(roots),
    }
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
    use axum::http::HeaderValue;

    use super::*;

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
