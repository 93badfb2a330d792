//! The STUN and TURN URIs that clients get: only those that work, and those from the configuration.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::common::{Server, callbox, pem, run, write_private};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A certificate with its key, in files that can be replaced.
struct Files(tempfile::TempDir);

impl Files {
    fn new(names: &[&str]) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.replace(names);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn replace(&self, names: &[&str]) {
        let [cert, key] = pem::self_signed(names);
        fs::write(self.path("cert.pem"), cert).unwrap();
        write_private(&self.path("key.pem"), key);
    }

    /// Starts a server without `--dev`, with TLS on this address.
    fn serve(&self, tls_listen: &str, options: &[&str]) -> Server {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        serve(&[&tls[..], &["--tls-listen", tls_listen], options].concat())
    }
}

fn arguments<'a>(command: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    let secrets = ["--auth-secret", SECRET, "--jwt-secret", SECRET];
    let listen = ["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--lifetime", "1m"];
    [&[command, "--ready-json"], &secrets[..], &listen, options].concat()
}

fn serve(options: &[&str]) -> Server {
    Server::spawn(&mut callbox(&arguments("serve", options)))
}

/// Returns the URIs that a user's client gets, in `iceServers` and in `turnCredentials`.
fn client_uris(server: &Server) -> (Value, Value) {
    let token = run(&mut callbox(&["token", "--jwt-secret", SECRET, "--user", "alice"])).stdout;
    let answer = server.get("/api/v1/ice-servers", Some(token.trim())).json();
    (answer["iceServers"][0]["urls"].clone(), answer["turnCredentials"]["uris"].clone())
}

/// Stops the server and returns its log.
fn log(server: Server) -> String {
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    log
}

fn turns(uris: &Value) -> Vec<&str> {
    let uris = uris.as_array().unwrap().iter().filter_map(Value::as_str);
    uris.filter(|uri| uri.starts_with("turns:")).collect()
}

#[test]
fn a_wildcard_certificate_gives_no_uri_that_browsers_refuse() {
    let files = Files::new(&["*.example.com"]);
    let server = files.serve("0.0.0.0:0", &[]);
    assert_eq!(turns(&server.ready["turn"]), [""; 0]);
    let (_, turn) = client_uris(&server);
    assert_eq!(turns(&turn), [""; 0]);
    let log = log(server);
    let lines: Vec<_> = log.lines().filter(|line| line.contains("are not told of")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in ["WARN", "*.example.com", "--public-turn-uri turns:HOST:PORT"] {
        assert!(lines[0].contains(part), "{log}");
    }
}

#[test]
fn configured_uris_are_sent_unchanged() {
    let files = Files::new(&["*.example.com"]);
    let uris = ["turn:turn.example.com:13478?transport=udp", "turns:turn.example.com:443"];
    let options = ["--public-turn-uri", uris[0], "--public-turn-uri", uris[1]];
    let server = files.serve("127.0.0.1:0", &options);
    assert_eq!(server.ready["turn"], json!(uris));
    assert_eq!(server.ready["stun"], json!(["stun:turn.example.com:13478"]));
    assert_eq!(client_uris(&server), (json!(["stun:turn.example.com:13478"]), json!(uris)));
    let log = log(server);
    assert!(!log.contains("WARN"), "{log}");

    let other = ["--public-turn-uri", "turns:turn.example.org:443"];
    let log = self::log(files.serve("127.0.0.1:0", &other));
    let expected =
        "--public-turn-uri turns:turn.example.org:443: the certificate is for *.example.com";
    assert!(log.contains(expected), "{log}");
}

#[test]
fn loopback_addresses_are_sent_if_there_are_no_others() {
    for (names, host) in
        [(&["localhost"][..], "localhost"), (&["turn.example.com", "127.0.0.1"], "127.0.0.1")]
    {
        let server = Files::new(names).serve("127.0.0.1:0", &[]);
        let (_, port) = server.text("/https").rsplit_once(':').unwrap();
        let secure = format!("turns:{host}:{port}?transport=tcp");
        let at = server.turn();
        let turn = ["udp", "tcp"].map(|transport| format!("turn:{at}?transport={transport}"));
        let all = json!([turn[0], turn[1], secure]);
        assert_eq!(server.ready["turn"], all);
        assert_eq!(client_uris(&server), (json!([format!("stun:{at}")]), all));
        let log = log(server);
        assert!(!log.contains("are not told of"), "{log}");
    }
}

#[test]
fn a_later_certificate_changes_the_uris_of_clients() {
    let files = Files::new(&["*.example.com"]);
    let server = files.serve("0.0.0.0:0", &[]);
    assert_eq!(turns(&client_uris(&server).1), [""; 0]);
    files.replace(&["turn.example.com"]);
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let is_told = || {
        turns(&client_uris(&server).1).iter().any(|uri| uri.starts_with("turns:turn.example.com:"))
    };
    crate::support::wait_until("the name of the new certificate", is_told);
    let log = log(server);
    assert!(log.contains("clients are told other TURN addresses"), "{log}");
}

#[test]
fn an_inner_address_that_no_listener_has_is_an_error() {
    for command in ["serve", "check-config"] {
        let pair = ["--external-ip", "203.0.113.7/192.0.2.44"];
        let output = run(&mut callbox(&arguments(command, &pair)));
        assert_eq!(output.status, 1, "{}", output.stderr);
        let expected = "callbox: --external-ip 203.0.113.7/192.0.2.44: no listener has the inner \
                        address 192.0.2.44, so nobody would be told 203.0.113.7";
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
    let server = serve(&["--external-ip", "203.0.113.7/127.0.0.1"]);
    assert!(server.text("/turn/0").starts_with("turn:203.0.113.7:"), "{}", server.ready);
}

#[test]
fn two_outer_addresses_for_one_inner_address_are_an_error() {
    let pairs = [
        ["203.0.113.7/127.0.0.1", "203.0.113.8/127.0.0.1"],
        ["203.0.113.7/127.0.0.1", "203.0.113.7/127.0.0.1"],
        ["203.0.113.7", "203.0.113.8"],
    ];
    for [first, second] in pairs {
        let options = ["--external-ip", first, "--external-ip", second];
        let output = run(&mut callbox(&arguments("check-config", &options)));
        assert_eq!(output.status, 1, "{}", output.stderr);
        let outer = second.split('/').next().unwrap();
        let expected =
            format!("--external-ip {second}: nobody would be told {outer}, since {first} is there");
        assert!(output.stderr.contains(&expected), "{}", output.stderr);
    }
    // One for a specific address, one for all others, and one of the other family.
    let options = ["203.0.113.7/127.0.0.1", "203.0.113.8", "2001:db8::7"];
    let options: Vec<_> = options.iter().flat_map(|ip| ["--external-ip", ip]).collect();
    let output = run(&mut callbox(&arguments("check-config", &options)));
    assert_eq!(output.status, 0, "{}", output.stderr);
}

#[test]
fn a_uri_that_clients_refuse_is_an_error() {
    for uri in ["turn://turn.example.com", "turns:turn.example.com?transport=udp", "turn:*.a.test"]
    {
        let output = run(&mut callbox(&arguments("serve", &["--public-turn-uri", uri])));
        assert_eq!(output.status, 2, "{uri}: {}", output.stderr);
        assert!(output.stderr.contains(uri), "{}", output.stderr);
        assert!(output.stderr.contains("--public-turn-uri"), "{}", output.stderr);
    }
}

#[test]
fn an_unused_outer_address_is_logged() {
    let expected = "--external-ip 2001:db8::7: nobody is told it";
    let options = ["--external-ip", "2001:db8::7"];
    let preview = run(&mut callbox(&arguments("check-config", &options)));
    assert_eq!(preview.status, 0, "{}", preview.stderr);
    assert!(preview.stderr.contains(expected), "{}", preview.stderr);
    let log = log(serve(&options));
    assert_eq!(log.matches(expected).count(), 1, "{log}");
}
