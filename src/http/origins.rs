//! The web pages that may connect: those of `--allow-origin`, and the server's own.

use axum::http::{HeaderMap, Request, header};

use super::{entry::Way, forwarded::Scheme, origin::Origin};

/// The origins of pages that may connect.
#[derive(Debug, Clone)]
pub(super) struct Origins(Vec<Origin>);

impl Origins {
    /// Allows these; every one if there is none.
    pub fn new(allowed: Vec<Origin>) -> Self {
        Self(allowed)
    }

    /// Whether a request may come from where it says it comes. No origin means that it was not a
    /// page that sent it.
    pub fn allow<B>(&self, request: &Request<B>) -> bool {
        let scheme = request.extensions().get::<Way>().and_then(|way| way.scheme);
        self.allow_from(request.headers(), scheme)
    }

    /// The same where the client asked in `scheme`, if that is known.
    pub fn allow_from(&self, headers: &HeaderMap, scheme: Option<Scheme>) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        if self.0.is_empty() {
            return true;
        }
        let Ok(text) = origin.to_str() else { return false };
        // Browsers send the one form; other clients may not. `null` is no origin, and never named.
        let is_named = |text: &str| self.0.iter().any(|allowed| allowed.as_str() == text);
        if is_named(text) {
            return true;
        }
        let Ok(origin) = text.parse::<Origin>() else { return false };
        is_named(origin.as_str()) || is_own(&origin, headers, scheme)
    }
}

/// Returns true if a page is one of the server's own, which are always allowed. Either scheme will
/// do if the client's is not known because a proxy does not tell it.
fn is_own(origin: &Origin, headers: &HeaderMap, scheme: Option<Scheme>) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let schemes: &[&str] = match scheme {
        Some(Scheme::Https) => &["https"],
        Some(Scheme::Http) => &["http"],
        None => &["https", "http"],
    };
    schemes.iter().any(|scheme| Origin::of_host(scheme, host).as_ref() == Some(origin))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("calls.example.com"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    fn some() -> Origins {
        Origins::new(vec!["https://App.example.com:443".parse().unwrap()])
    }

    #[test]
    fn every_origin_may_come_until_some_are_named() {
        let any = Origins::new(Vec::new());
        assert!(any.allow_from(&headers(Some("https://evil.example")), None));
        assert!(any.allow_from(&headers(Some("null")), None));
        let some = some();
        assert!(some.allow_from(&headers(None), None));
        for origin in
            ["https://app.example.com", "https://APP.example.com:443", "https://calls.example.com"]
        {
            assert!(some.allow_from(&headers(Some(origin)), None), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "https://app.example.com.evil.example",
            "https://app.example.com:8443",
            "http://app.example.com",
            "null",
            "*",
            "https://app",
            "https://calls.example.com:8443",
        ] {
            assert!(!some.allow_from(&headers(Some(origin)), None), "{origin}");
        }
    }

    #[test]
    fn own_pages_have_the_scheme_that_the_client_asked_in() {
        let some = some();
        let allow = |origin, scheme| some.allow_from(&headers(Some(origin)), scheme);
        let (https, http) = ("https://calls.example.com", "http://calls.example.com");
        assert!(allow(https, Some(Scheme::Https)) && !allow(http, Some(Scheme::Https)));
        assert!(allow(http, Some(Scheme::Http)) && !allow(https, Some(Scheme::Http)));
        assert!(allow(https, None) && allow(http, None));
    }
}
