//! Secure defaults: access to plain HTTP and to the metrics, separate files for secrets, and
//! warnings about files that others can read or write.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    common::{Server, bearer, callbox, http, network::in_own_network, pem, run, write_private},
    support::plain_client::PlainClient,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Gives the machine an address besides loopback.
const OWN_ADDRESS: &str = "ip address add 192.0.2.1/32 dev lo";

/// A directory of files with their modes.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files_in = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            write_private(&files_in.at(name), text);
        }
        files_in
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        text(&self.at(name)).to_owned()
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The minimal options with which a server starts.
fn secrets() -> Vec<&'static str> {
    vec!["--auth-secret", SECRET, "--jwt-secret", SECRET, "--lifetime", "5m", "--ready-json"]
}

fn serve(options: &[&str]) -> Server {
    Server::spawn(&mut callbox(&[&["serve"], options].concat()))
}

/// Stops a server and returns its log.
fn stopped(server: Server) -> String {
    server.terminate();
    server.wait().1
}

#[test]
fn metrics_over_plain_http_need_a_key_from_other_addresses() {
    let test = "attack_defaults::metrics_over_plain_http_need_a_key_from_other_addresses";
    in_own_network(test, OWN_ADDRESS, || {
        let options =
            ["--http", "0.0.0.0:8080", "--listen", "127.0.0.1:0", "--api-key", "operator"];
        let _server = serve(&[&secrets()[..], &options].concat());
        let ask = |at, key| http::request(at, "GET", "/metrics", &bearer(key), None).status;
        assert_eq!(ask("127.0.0.1:8080", None), 200, "from this machine");
        // The client has that address as well.
        assert_eq!(ask("192.0.2.1:8080", None), 401, "from another one");
        assert_eq!(ask("192.0.2.1:8080", Some("operator")), 200);
        // The endpoint for load balancers is open.
        assert_eq!(http::request("192.0.2.1:8080", "GET", "/healthz", &[], None).status, 200);
    });
}

#[test]
fn with_tls_plain_http_is_on_loopback_unless_configured() {
    let test = "attack_defaults::with_tls_plain_http_is_on_loopback_unless_configured";
    in_own_network(test, OWN_ADDRESS, || {
        let [cert, key] = pem::self_signed(&["turn.example.com"]);
        let files = Files::new(&[("cert.pem", &cert), ("key.pem", &key)]);
        let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
        let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-listen", "0.0.0.0:443"];
        let rest = ["--listen", "127.0.0.1:0"];
        let options = [&secrets()[..], &tls, &rest].concat();
        let server = serve(&options);
        assert_eq!(server.text("/http"), "http://127.0.0.1:8080");
        assert_eq!(server.get("/healthz", None).status, 200);
        let stranger: SocketAddr = "192.0.2.1:8080".parse().unwrap();
        let error = TcpStream::connect(stranger).expect_err("plain HTTP is open to strangers");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // TLS is open to every address.
        TcpStream::connect("192.0.2.1:443").unwrap();
        let log = stopped(server);
        assert!(!log.contains("--http"), "{log}");

        let server = serve(&[&options[..], &["--http", "0.0.0.0:8080"]].concat());
        TcpStream::connect(stranger).unwrap();
        let log = stopped(server);
        let warning = "plain HTTP is served on every address of this machine although there is TLS";
        assert_eq!(log.matches(warning).count(), 1, "{log}");

        let args = [&["serve"], &options[..], &["--http", "0.0.0.0:8080", "--strict"]].concat();
        let refused = run(&mut callbox(&args));
        assert_eq!(refused.status, 2, "{}", refused.stderr);
        assert!(refused.stderr.starts_with("callbox: --strict: --http 0.0.0.0:8080: "));
    });
}

#[test]
fn each_secret_may_be_in_a_file_of_its_own() {
    let dir = Files::new(&[
        ("auth", SECRET),
        ("jwt", "\u{feff} a secret of at least thirty-two bytes \r\nno secret"),
        ("api", "operator\n"),
        ("users", "# cameras\n\nfirst:pass\r\nstatic:pass\n"),
        ("oauth", "2026-11:MDEyMzQ1Njc4OWFiY2RlZg==\n"),
    ]);
    let files = ["auth", "jwt", "api", "users", "oauth"].map(|name| dir.path(name));
    let options = [
        ["--auth-secret-file", &files[0]],
        ["--jwt-secret-file", &files[1]],
        ["--api-key-file", &files[2]],
        ["--user-file", &files[3]],
        ["--oauth-key-file", &files[4]],
        ["--http", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0"],
        ["--realm", crate::support::REALM],
        ["--lifetime", "5m"],
    ];
    let server = serve(&[&options.concat()[..], &["--ready-json", "--strict"]].concat());
    let token = ["token", "--user", "alice", "--jwt-secret-file", &files[1]];
    let token = run(&mut callbox(&token));
    assert_eq!(token.status, 0, "{}", token.stderr);
    assert_eq!(server.get("/api/v1/ice-servers", Some(token.stdout.trim())).status, 200);
    let environment = run(callbox(&["token", "--user", "alice"])
        .env("CALLBOX_JWT_SECRET", "a secret of at least thirty-two bytes"));
    assert_eq!(server.get("/api/v1/ice-servers", Some(environment.stdout.trim())).status, 200);
    assert_eq!(server.get("/api/v1/calls", Some("operator")).status, 200);
    let at: SocketAddr = server.turn().parse().unwrap();
    PlainClient::allocate_as(at, crate::support::REALM, "static", "pass");
    let log = stopped(server);
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn an_error_in_a_secret_file_names_the_line_and_shows_no_secret() {
    let files = Files::new(&[
        ("users", "camera:hush-hush\nhush-hush\n"),
        ("twice", "camera:hush-hush\n#\ncamera:hush-hush-hush\n"),
        ("oauth", "\nhush-hush\n"),
        ("empty", "# nothing\n"),
    ]);
    for (option, name, expected) in [
        ("--user-file", "users", ": line 2 is not written as NAME:PASSWORD"),
        ("--user-file", "twice", "--user-file: \"camera\" is there twice"),
        ("--user-file", "empty", " has no entry in it"),
        ("--oauth-key-file", "oauth", ": line 2: expected KID:KEY"),
        ("--oauth-key-file", "empty", " has no entry in it"),
        ("--jwt-secret-file", "missing", "missing: cannot be read: No such file"),
        ("--api-key-file", "missing", "missing: cannot be read: No such file"),
    ] {
        let path = files.path(name);
        let args = ["check-config", "--dev", "--http", "127.0.0.1:0", option, &path];
        let output = run(&mut callbox(&args));
        assert_eq!(output.status, 2, "{option} {name}: {}", output.stdout);
        assert!(output.stderr.contains(expected), "{expected:?} is not in {}", output.stderr);
        assert!(!output.stderr.contains("hush"), "{}", output.stderr);
    }
}

#[test]
fn files_open_to_others_are_warned_about_and_refused_with_strict() {
    let [cert, key] = pem::self_signed(&["127.0.0.1"]);
    let files = Files::new(&[
        ("plain.toml", "realm = 'example'\n"),
        ("callbox.toml", "realm = 'example'\napi-key = ['hush-hush']\n"),
        ("secret", SECRET),
        ("users", "camera:hush-hush\n"),
        ("oauth", "2026-11:MDEyMzQ1Njc4OWFiY2RlZg==\n"),
        ("cert.pem", &cert),
        ("key.pem", &key),
    ]);
    fs::create_dir(files.at("state")).unwrap();
    files.chmod("state", 0o700);
    let cert = files.path("cert.pem");
    files.chmod("cert.pem", 0o644);
    for (option, name, harmless, open, expected) in [
        ("--config", "callbox.toml", 0o640, 0o644, "may read the secrets in it (mode 0644)"),
        ("--config", "plain.toml", 0o644, 0o646, "may change what is in it (mode 0646)"),
        ("--auth-secret-file", "secret", 0o640, 0o444, "may read the secrets in it (mode 0444)"),
        ("--jwt-secret-file", "secret", 0o400, 0o604, "may read the secrets in it (mode 0604)"),
        ("--api-key-file", "secret", 0o600, 0o644, "may read the secrets in it (mode 0644)"),
        ("--user-file", "users", 0o600, 0o644, "may read the secrets in it (mode 0644)"),
        ("--oauth-key-file", "oauth", 0o600, 0o644, "may read the secrets in it (mode 0644)"),
        ("--tls-key", "key.pem", 0o640, 0o644, "may read the secrets in it (mode 0644)"),
        ("--tls-key", "key.pem", 0o600, 0o602, "may change what is in it (mode 0602)"),
        ("--state-dir", "state", 0o755, 0o777, "may change what is in it (mode 0777)"),
        // In a directory with the sticky bit nobody can remove another user's files, but everybody
        // can create files.
        ("--state-dir", "state", 0o700, 0o1777, "may change what is in it (mode 1777)"),
    ] {
        let path = files.path(name);
        let here = ["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
        let mut args = [&secrets()[..], &here, &[option, &path]].concat();
        if option == "--tls-key" {
            args.extend(["--tls-cert", &cert]);
        }
        let with = |command, more: &[&'static str]| {
            run(&mut callbox(&[&[command], &args[..], more].concat()))
        };
        files.chmod(name, harmless);
        let fine = with("check-config", &["--strict"]);
        assert_eq!((fine.status, fine.stderr.as_str()), (0, ""), "{option} {harmless:o}");
        files.chmod(name, open);
        let warned = with("check-config", &[]);
        let warning = format!("{option} {path}: others on this machine {expected}: chmod o-");
        assert_eq!(warned.status, 0, "{}", warned.stderr);
        assert_eq!(warned.stderr.matches(&warning).count(), 1, "{warning}: {}", warned.stderr);
        for command in ["check-config", "serve"] {
            let refused = with(command, &["--strict"]);
            assert_eq!(refused.status, 2, "{command} {option}: {}", refused.stderr);
            let error = format!("callbox: --strict: {warning}");
            assert!(refused.stderr.starts_with(&error), "{error}: {}", refused.stderr);
            assert!(!refused.stderr.contains("hush"), "{}", refused.stderr);
        }
        files.chmod(name, harmless);
    }
}
