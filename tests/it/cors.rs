//! Requests from pages of other origins, as browsers send them.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
};

use crate::common::{DEADLINE, Server, bearer, http};

const PAGES: [&str; 4] = [
    "/api/v1/ice-servers",
    "/api/v1/calls",
    "/api/v1/sessions",
    "/socket.io/?EIO=4&transport=polling",
];

fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> http::Response {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", server.authority());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("connection: close\r\n\r\n");
    http::raw(server.authority(), head.as_bytes())
}

/// Returns the names of a list in lower case.
fn names(list: Option<&str>) -> Vec<String> {
    list.unwrap_or_default().split(',').map(|name| name.trim().to_lowercase()).collect()
}

/// Checks a response to a request with credentials as a browser does (Fetch §4.9).
fn may_be_read_by(response: &http::Response, origin: &str) {
    assert_eq!(response.header("access-control-allow-origin"), Some(origin), "{response:?}");
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
    assert!(names(response.header("vary")).contains(&"origin".to_owned()), "{response:?}");
}

#[test]
fn a_preflight_allows_the_methods_of_the_api_and_the_headers_of_the_page() {
    let server = Server::start();
    let origin = "https://app.example.com";
    for path in PAGES {
        for method in ["GET", "POST", "DELETE"] {
            let answer = ask(
                &server,
                "OPTIONS",
                path,
                &[
                    ("origin", origin),
                    ("access-control-request-method", method),
                    ("access-control-request-headers", "authorization,x-my-header,x-request-id"),
                ],
            );
            assert_eq!(answer.status, 204, "{path}");
            may_be_read_by(&answer, origin);
            let methods = names(answer.header("access-control-allow-methods"));
            assert!(methods.contains(&method.to_lowercase()), "{methods:?}");
            let headers = names(answer.header("access-control-allow-headers"));
            assert_eq!(headers, ["authorization", "x-my-header", "x-request-id"]);
            assert_eq!(answer.header("access-control-max-age"), Some("7200"));
            // A cache must not use this response for a different preflight.
            let vary = names(answer.header("vary"));
            for name in ["access-control-request-method", "access-control-request-headers"] {
                assert!(vary.contains(&name.to_owned()), "{vary:?}");
            }
        }
    }
    // A value that is no list of header names is not repeated.
    let answer = ask(
        &server,
        "OPTIONS",
        PAGES[0],
        &[
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "a b, <c>"),
        ],
    );
    assert_eq!(
        names(answer.header("access-control-allow-headers")),
        ["authorization", "content-type"]
    );
}

#[test]
fn a_page_may_read_answers_to_requests_with_credentials() {
    let server = Server::start();
    for origin in ["https://app.example.com", "http://localhost:5173", "null"] {
        for path in PAGES {
            // Pages can read errors of the API as well.
            let answer = ask(&server, "GET", path, &[("origin", origin), ("cookie", "route=1")]);
            may_be_read_by(&answer, origin);
            let exposed = names(answer.header("access-control-expose-headers"));
            assert_eq!(exposed, ["retry-after"]);
        }
    }
    // A cache must not use a response to a request without an origin for a page.
    let plain = ask(&server, "GET", PAGES[0], &[]);
    assert_eq!(plain.header("access-control-allow-origin"), None);
    assert!(names(plain.header("vary")).contains(&"origin".to_owned()), "{plain:?}");
}

#[test]
fn an_operator_s_page_may_end_a_call() {
    let server = Server::with(&["--allow-origin", "https://admin.example.com"]);
    let key = bearer(Some(server.text("/dev/apiKey")));
    let headers = [("origin", "https://admin.example.com"), (key[0].0, key[0].1.as_str())];
    let answer = ask(&server, "DELETE", "/api/v1/sessions?userId=alice", &headers);
    let nothing = r#"{"sessions":0,"calls":0,"rooms":0,"allocations":0}"#;
    assert_eq!((answer.status, answer.body.as_str()), (200, nothing));
    may_be_read_by(&answer, "https://admin.example.com");
}

#[test]
fn origins_are_compared_in_the_form_that_browsers_send() {
    let named = ["HTTPS://App.Example.com:443/", "https://b\u{fc}cher.example"];
    let server = Server::with(&["--allow-origin", named[0], "--allow-origin", named[1]]);
    let status = |origin: &str| ask(&server, "GET", PAGES[0], &[("origin", origin)]).status;
    for origin in [
        "https://app.example.com",
        "https://xn--bcher-kva.example",
        &format!("http://{}", server.authority()),
    ] {
        assert_eq!(status(origin), 401, "{origin} may ask, and has no token");
    }
    for origin in [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://www.app.example.com",
        "https://bucher.example",
        "null",
    ] {
        let answer = ask(&server, "GET", PAGES[0], &[("origin", origin)]);
        assert_eq!((answer.status, answer.error().as_str()), (403, "origin_not_allowed"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let preflight = [("origin", origin), ("access-control-request-method", "GET")];
        assert_eq!(ask(&server, "OPTIONS", PAGES[0], &preflight).status, 403);
    }
}

#[test]
fn an_invalid_origin_is_refused_at_the_start() {
    for (origin, expected) in [
        ("*", "leave the option out to let pages of every origin connect"),
        ("https://*.example.com", "name each host"),
        ("null", "serve the page from a host, and name that"),
        ("app.example.com", "write https://app.example.com"),
        ("https://app.example.com/app", "write https://app.example.com"),
        ("wss://app.example.com", "begins with https:// or http://"),
        ("https://app.example.com:port", "invalid port"),
    ] {
        let error = Server::try_with(&["--allow-origin", origin]).err().unwrap();
        assert!(error.contains(expected) && error.contains("--allow-origin"), "{origin}: {error}");
    }
}

/// A page whose host resolves to this server under a foreign name has a matching origin, and gains
/// no access by it.
#[test]
fn a_page_whose_host_equals_its_origin_passes_for_known_names_only() {
    let named = ["--allow-origin", "https://app.example.com"];
    let own = ["--server-name", "Calls.Example.com", "--server-name", "192.0.2.9"];
    let server = Server::with(&[&named[..], &own].concat());
    let port = server.authority().rsplit_once(':').unwrap().1;
    let ask = |path: &str, host: &str, more: &str| {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n{more}connection: \
             close\r\n\r\n"
        );
        http::raw(server.authority(), head.as_bytes())
    };
    for (host, api, polling) in [
        ("evil.example", 403, 403),
        ("evil.example:8080", 403, 403),
        ("192.0.2.1", 403, 403),
        ("calls.example.com.evil.example", 403, 403),
        ("calls.example.com", 401, 200),
        ("calls.example.com:8080", 401, 200),
        ("192.0.2.9:8080", 401, 200),
        // Loopback names, which no DNS server can redirect.
        (&format!("127.0.0.1:{port}"), 401, 200),
        (&format!("localhost:{port}"), 401, 200),
        (&format!("[::1]:{port}"), 401, 200),
    ] {
        let answer = ask("/api/v1/ice-servers", host, "");
        assert_eq!(answer.status, api, "{host}: {answer:?}");
        let answer = ask("/socket.io/?EIO=4&transport=polling", host, "");
        assert_eq!(answer.status, polling, "{host}: {answer:?}");
        if api == 403 {
            assert_eq!(answer.error(), "origin_not_allowed");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    // Behind a proxy that sets its own Host, a loopback name does not identify the page.
    let proxied = ask("/api/v1/ice-servers", "127.0.0.1:8080", "x-forwarded-for: 192.0.2.5\r\n");
    assert_eq!((proxied.status, proxied.error().as_str()), (403, "origin_not_allowed"));
}

#[test]
fn an_invalid_server_name_is_refused_and_a_useless_one_is_logged() {
    let check = |args: &[&str]| {
        let base = ["check-config", "--dev", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
        crate::common::run(&mut crate::common::callbox(&[&base[..], args].concat()))
    };
    for (name, expected) in [
        ("https://calls.example.com", "write calls.example.com"),
        ("calls.example.com:8443", "write calls.example.com"),
        ("*.example.com", "name each host"),
    ] {
        let error = check(&["--server-name", name]).stderr;
        assert!(error.contains(expected) && error.contains("--server-name"), "{name}: {error}");
    }
    let useless = check(&["--server-name", "calls.example.com"]);
    assert_eq!(useless.status, 0);
    assert!(useless.stderr.contains("it changes nothing without --allow-origin"));
}

/// The server's own pages have the scheme that the client's browser uses, which only a trusted
/// proxy can report.
#[test]
fn own_pages_have_the_scheme_that_a_proxy_reports() {
    const PROXY: &str = "127.0.0.2";
    let server = Server::with(&[
        "--allow-origin",
        "https://app.example.com",
        "--server-name",
        "calls.example.com",
        "--trusted-proxy",
        PROXY,
    ]);
    let status = |ip: &str, origin: &str, proto: &str| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&format!("{ip}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
        let at: SocketAddr = server.authority().parse().unwrap();
        socket.connect(&at.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "GET /api/v1/ice-servers HTTP/1.1\r\nhost: calls.example.com\r\norigin: \
             {origin}\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: {proto}\r\nconnection: \
             close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        http::read(&mut stream).status
    };
    assert_eq!(status(PROXY, "https://calls.example.com", "https"), 401);
    assert_eq!(status(PROXY, "http://calls.example.com", "https"), 403);
    assert_eq!(status(PROXY, "http://calls.example.com", "http"), 401);
    // The header of another address is ignored.
    assert_eq!(status("127.0.0.3", "https://calls.example.com", "http"), 401);
}
