//! The pages, the metrics and the documents of the API.

use crate::common::{Server, http};

#[test]
fn the_demo_page_loads_nothing_from_elsewhere() {
    let server = Server::start();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
    ] {
        let part = server.get(path, None);
        assert_eq!((part.status, part.header("content-type")), (200, Some(content_type)));
        let policy = part.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    // A foreign name that resolves to this server does not open the page.
    let request = b"GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(http::raw(server.authority(), request).error(), "not_found");
    assert_eq!(server.get("/dev/online", None).error(), "unauthorized");
}

#[test]
fn pages_of_any_origin_may_import_the_client() {
    let server = Server::start();
    let client = server.get("/callbox.js", None);
    assert_eq!(client.status, 200);
    for (header, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(client.header(header), Some(value), "{header}");
    }
    assert_eq!(client.body, include_str!("../../../clients/js/callbox.js"));
}

/// Browsers revalidate each time, since the files change with the server.
#[test]
fn unchanged_files_are_a_304() {
    let server = Server::start();
    let mut tags = Vec::new();
    for path in ["/callbox.js", "/", "/app.js", "/style.css"] {
        let file = server.get(path, None);
        let tag = file.header("etag").expect("a tag").to_owned();
        assert_eq!((file.status, file.header("cache-control")), (200, Some("no-cache")), "{path}");
        let ask = |method: &str, tag: String| {
            http::request(server.authority(), method, path, &[("if-none-match", tag)], None)
        };
        for (method, known) in
            [("GET", tag.clone()), ("GET", format!("\"other\", W/{tag}")), ("HEAD", "*".to_owned())]
        {
            let kept = ask(method, known);
            assert_eq!((kept.status, kept.body.len()), (304, 0), "{path}");
            // The headers of the full response (RFC 9110 §15.4.5), and those that permit other
            // origins.
            for name in ["etag", "cache-control", "access-control-allow-origin"] {
                assert_eq!(kept.header(name), file.header(name), "{path} {name}");
            }
        }
        let changed = ask("GET", "\"that of an older server\"".to_owned());
        assert_eq!((changed.status, changed.body == file.body), (200, true), "{path}");
        assert!(!tags.contains(&tag), "{path}");
        tags.push(tag);
    }
}

#[test]
fn metrics_are_open_metrics() {
    let server = Server::start();
    let page = server.get("/metrics", None);
    let content_type = page.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    assert!(page.body.ends_with("# EOF\n"));
    for family in [
        "callbox_allocations",
        "callbox_relayed_packets",
        "callbox_relayed_bytes",
        "callbox_drops",
        "callbox_stun_requests",
        "callbox_calls",
        "callbox_calls_ended",
        "callbox_connections",
        "callbox_errors",
        "callbox_bad_frames",
        "callbox_build_info",
    ] {
        assert!(page.body.contains(&format!("# TYPE {family} ")), "{family} is missing");
    }
    assert_eq!(server.metric("callbox_relayed_bytes_total{direction=\"up\"}"), 0.0);
    assert!(page.body.contains("callbox_connections{front=\"websocket\"} 0\n"), "{}", page.body);
}

#[test]
fn the_served_documents_equal_those_of_the_repository() {
    let server = Server::start();
    for (path, document) in [
        ("/api/v1/asyncapi.json", include_str!("../../../docs/asyncapi.json")),
        ("/api/v1/openapi.json", include_str!("../../../docs/openapi.json")),
    ] {
        let served = server.get(path, None);
        assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
        assert!(served.body == document, "{path}");
    }
}
