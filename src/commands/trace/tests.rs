use std::{io::Write, net::TcpListener, thread};

use tempfile::NamedTempFile;

use super::*;

const CALL: &str = "01JNVH0A7GQ2W5E8R1T4Y6V9PB";
const DOCUMENT: &str = include_str!("../../../tests/fixtures/trace.json");

fn args(url: &str, keys: &[&str]) -> ServerArgs {
    ServerArgs {
        url: url.to_owned(),
        api_key: keys.iter().map(|key| Secret::new(*key)).collect(),
        api_key_file: Vec::new(),
        ca_cert: None,
    }
}

fn error(argument: &str, server: &ServerArgs) -> (String, bool) {
    let error = source::read(argument, server).unwrap_err();
    (callbox_cli::explain(&error), error.is::<WrongUsage>())
}

/// Starts a server that has a trace for the bearer of the key `right`, and returns its address.
fn server(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = String::new();
            let mut reader = std::io::BufReader::new(&stream);
            while !request.ends_with("\r\n\r\n") {
                std::io::BufRead::read_line(&mut reader, &mut request).unwrap();
            }
            let is_right = request.starts_with(&format!("GET /api/v1/calls/{CALL}/trace "))
                && request.contains("\r\nauthorization: Bearer right\r\n");
            let (status, body) = if is_right { (status, body) } else { ("401 Unauthorized", "") };
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length:");
            write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    url
}

#[test]
fn a_file_and_a_server_give_the_same_document() {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(DOCUMENT.as_bytes()).unwrap();
    let nowhere = args("http://127.0.0.1:1", &[]);
    let of_file = source::read(file.path().to_str().unwrap(), &nowhere).unwrap();
    assert_eq!(of_file.steps.len(), 49);
    // The second key is tried, since the first one is refused.
    let url = server("200 OK", DOCUMENT) + "/";
    let of_server = source::read(CALL, &args(&url, &["wrong", "right"])).unwrap();
    assert_eq!(of_server, of_file);
}

#[test]
fn each_format_shows_the_trace() {
    let trace: CallTrace = serde_json::from_str(DOCUMENT).unwrap();
    let shown = |format| shown(&trace, format, 100).unwrap();
    assert!(shown(Format::Ladder).starts_with("Call 01JNVH0A7GQ2W5E8R1T4Y6V9PB of alice"));
    assert!(shown(Format::Mermaid).starts_with("sequenceDiagram\n"));
    assert_eq!(serde_json::from_str::<CallTrace>(&shown(Format::Json)).unwrap(), trace);
    assert_eq!(shown(Format::Diagnosis), trace.diagnosis);
    let untold = CallTrace { diagnosis: String::new(), ..trace.clone() };
    assert_eq!(super::shown(&untold, Format::Diagnosis, 100).unwrap(), trace.diagnosis);
}

#[test]
fn no_format_controls_a_terminal() {
    let mut trace: CallTrace = serde_json::from_str(DOCUMENT).unwrap();
    trace.diagnosis = "a\u{1b}[2J\u{9b}2Jb".to_owned();
    for format in [Format::Ladder, Format::Mermaid, Format::Json, Format::Diagnosis] {
        let shown = shown(&trace, format, 100).unwrap();
        assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "{shown:?}");
    }
    assert_eq!(serde_json::from_str::<CallTrace>(&json(&trace).unwrap()).unwrap(), trace);
}

#[test]
fn an_argument_that_names_nothing_is_wrong_usage() {
    let (text, is_wrong) = error("nonsense", &args("http://127.0.0.1:1", &["right"]));
    assert!(text.starts_with("nonsense is neither a file nor the id of a call"), "{text}");
    assert!(is_wrong);
    let (text, is_wrong) = error(CALL, &args("http://127.0.0.1:1", &[]));
    assert!(text.starts_with("no API key"), "{text}");
    assert!(is_wrong);
    for url in ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://a b"] {
        let (text, is_wrong) = error(CALL, &args(url, &["right"]));
        assert!(text.starts_with(&format!("--url {url}: expected")), "{text}");
        assert!(is_wrong);
    }
    let ca_cert = Some("/nowhere/a.pem".into());
    let (text, is_wrong) =
        error(CALL, &ServerArgs { ca_cert, ..args("https://127.0.0.1:1", &["right"]) });
    assert!(text.starts_with("--ca-cert /nowhere/a.pem: No such file"), "{text}");
    assert!(is_wrong);
}

#[test]
fn the_answers_of_a_server_are_explained() {
    let cases = [
        ("200 OK", "{\"callId\": 7}", "is not the document of a trace"),
        ("404 Not Found", "{}", "the server must run with --trace"),
        ("503 Service Unavailable", "", "answered 503 Service Unavailable"),
    ];
    for (status, body, expected) in cases {
        let (text, is_wrong) = error(CALL, &args(&server(status, body), &["right"]));
        assert!(text.contains(expected), "{text}");
        assert!(!is_wrong);
    }
    let (text, _) = error(CALL, &args(&server("200 OK", DOCUMENT), &["wrong"]));
    assert!(text.contains("refused the API key"), "{text}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (text, is_wrong) = error(CALL, &args(&url, &["right"]));
    assert!(text.contains("Connection refused") && text.contains("--url"), "{text}");
    assert!(!is_wrong);
}

#[test]
fn a_file_that_is_no_trace_is_named() {
    let nowhere = args("http://127.0.0.1:1", &[]);
    let mut file = NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    for (text, part) in [("", "EOF"), ("[7]", "invalid"), ("{", "EOF"), ("hello", "expected value")]
    {
        file.as_file_mut().set_len(0).unwrap();
        std::fs::write(&path, text).unwrap();
        let (error, _) = error(&path, &nowhere);
        assert!(error.starts_with(&format!("{path} is not the document of a trace")), "{error}");
        assert!(error.contains(part), "{error}");
    }
    file.as_file_mut().set_len(17 * 1024 * 1024).unwrap();
    let (text, _) = error(&path, &nowhere);
    assert!(text.contains("has more than 16777216 bytes"), "{text}");
}
