//! The web pages that may connect: those of `--allow-origin`, and the server's own.

use axum::http::{HeaderMap, Request, header};

use super::{
    arrival::Way,
    forwarded::Scheme,
    origin::Origin,
    server_name::{OwnNames, ServerName},
};

/// The origins of pages that may connect.
pub(super) struct Origins {
    allowed: Vec<Origin>,
    own_names: OwnNames,
}

impl Origins {
    /// Allows these, and pages of the server itself under one of its own names; all origins if
    /// `allowed` is empty.
    pub(super) fn new(allowed: Vec<Origin>, own_names: OwnNames) -> Self {
        Self { allowed, own_names }
    }

    /// Returns true if a request may come from its origin. A request without one was not sent by a
    /// page.
    pub(super) fn allow<B>(&self, request: &Request<B>) -> bool {
        let way = request.extensions().get::<Way>();
        let (scheme, is_local) = way.map_or((None, false), |way| (way.scheme, way.is_local));
        self.allow_from(request.headers(), scheme, is_local)
    }

    /// Returns the same for a client that asked in `scheme`, if that is known, and is on this
    /// machine or not.
    pub(super) fn allow_from(
        &self,
        headers: &HeaderMap,
        scheme: Option<Scheme>,
        is_local: bool,
    ) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        if self.allowed.is_empty() {
            return true;
        }
        let Ok(text) = origin.to_str() else { return false };
        // Browsers send the canonical form; other clients may not. `null` is no origin, and is
        // never allowed.
        let is_named = |text: &str| self.allowed.iter().any(|allowed| allowed.as_str() == text);
        if is_named(text) {
            return true;
        }
        let Ok(origin) = text.parse::<Origin>() else { return false };
        is_named(origin.as_str()) || self.is_own(&origin, headers, scheme, is_local)
    }

    /// Returns true if a page is one of the server's own: its origin is the host that it asks, and
    /// that is a name of this server. The first alone is no proof, since a stranger's name can be
    /// made to resolve to this server, so that its pages ask their own origin (DNS rebinding).
    fn is_own(
        &self,
        origin: &Origin,
        headers: &HeaderMap,
        scheme: Option<Scheme>,
        is_local: bool,
    ) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| {
            is_same(origin, host, scheme)
                && ServerName::of_host(host)
                    .is_some_and(|name| self.own_names.have(&name, is_local))
        })
    }
}

/// Returns true if an origin is that of this host. Either scheme is accepted if the client's is not
/// known because a proxy does not report it.
fn is_same(origin: &Origin, host: &str, scheme: Option<Scheme>) -> bool {
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
        asked_by("calls.example.com", origin)
    }

    fn asked_by(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    fn some() -> Origins {
        let own = OwnNames::new(vec!["calls.example.com".parse().unwrap()], None);
        Origins::new(vec!["https://App.example.com:443".parse().unwrap()], own)
    }

    #[test]
    fn every_origin_may_connect_unless_some_are_listed() {
        let any = Origins::new(Vec::new(), OwnNames::default());
        assert!(any.allow_from(&headers(Some("https://evil.example")), None, false));
        assert!(any.allow_from(&headers(Some("null")), None, false));
        let some = some();
        assert!(some.allow_from(&headers(None), None, false));
        for origin in
            ["https://app.example.com", "https://APP.example.com:443", "https://calls.example.com"]
        {
            assert!(some.allow_from(&headers(Some(origin)), None, false), "{origin}");
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
            assert!(!some.allow_from(&headers(Some(origin)), None, false), "{origin}");
        }
    }

    #[test]
    fn own_pages_have_the_scheme_of_the_client_s_request() {
        let some = some();
        let allow = |origin, scheme| some.allow_from(&headers(Some(origin)), scheme, false);
        let (https, http) = ("https://calls.example.com", "http://calls.example.com");
        assert!(allow(https, Some(Scheme::Https)) && !allow(http, Some(Scheme::Https)));
        assert!(allow(http, Some(Scheme::Http)) && !allow(https, Some(Scheme::Http)));
        assert!(allow(https, None) && allow(http, None));
    }

    #[test]
    fn a_host_that_equals_its_origin_is_own_by_a_known_name_only() {
        let some = some();
        let allow =
            |host, origin, is_local| some.allow_from(&asked_by(host, Some(origin)), None, is_local);
        // A stranger's name resolves to this server.
        assert!(!allow("evil.example:8080", "http://evil.example:8080", true));
        assert!(!allow("192.0.2.1:8080", "http://192.0.2.1:8080", false));
        assert!(allow("Calls.Example.com.:8080", "http://calls.example.com.:8080", false));
        assert!(allow("calls.example.com:8080", "http://calls.example.com:8080", false));
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("localhost:8080", "http://localhost:8080"),
            ("LOCALHOST:8080", "http://localhost:8080"),
        ] {
            assert!(allow(host, origin, true), "{host}");
            assert!(!allow(host, origin, false), "{host} is another machine to a client elsewhere");
        }
        assert!(!allow("localhost.evil.example", "http://localhost.evil.example", true));
    }
}
