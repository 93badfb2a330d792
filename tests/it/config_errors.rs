//! Configuration files with additions of editors and shells, and the messages for errors in others.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use rustls::{
    ClientConnection,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::common::{DEADLINE, Output, Server, callbox, identity, pem, run, write_private};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Creates a directory with files of these names and contents, for their owner alone.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write_private(&dir.path().join(name), bytes);
    }
    dir
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes a certificate and its key into two files.
fn pair(cert: &str, key: &str) -> (tempfile::TempDir, [PathBuf; 2]) {
    let dir = directory(&[("cert.pem", cert.as_bytes()), ("key.pem", key.as_bytes())]);
    let paths = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    (dir, paths)
}

/// Returns the arguments of `serve` or `check-config` for development with this certificate.
fn with_certificate<'a>(command: &'a str, [cert, key]: &'a [PathBuf; 2]) -> Vec<&'a str> {
    let listen =
        ["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
    let tls = ["--tls-cert", text(cert), "--tls-key", text(key)];
    [&[command, "--dev", "--ready-json", "--lifetime", "5m"], &listen[..], &tls].concat()
}

/// Returns the error of a server, after checking that a check of its configuration prints the same.
fn refused(args: &[&str]) -> String {
    let both = ["serve", "check-config"].map(|command| {
        let output = run(callbox(&[&[command], args].concat()).env("CALLBOX_LIFETIME", "1m"));
        assert_ne!(output.status, 0, "{command} {args:?}: {}", output.stderr);
        (output.status, output.stderr)
    });
    assert!(both[0].1.ends_with(&both[1].1) || both[1].1.ends_with(&both[0].1), "{both:?}");
    assert_eq!(both[0].0, both[1].0, "{both:?}");
    both[1].1.clone()
}

#[test]
fn byte_order_marks_and_white_space_are_no_part_of_a_value() {
    let utf16: Vec<u8> = "\u{feff}south\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let public_key = fs::read_to_string("tests/fixtures/jwt/ed.pub.pem").unwrap();
    let public_key = format!("\u{feff}{}", public_key.replace('\n', "\r\n"));
    let config = format!(
        "\u{feff}jwt-secret = [' {SECRET} ']\r\nrealm = \"a realm\\r\"\r\nlisten = ['127.0.0.1:0 , \
         127.0.0.2:0,']\r\n"
    );
    let dir = directory(&[
        ("secret", "\u{feff}  north \r\n".as_bytes()),
        ("powershell", &utf16),
        ("jwt.pem", public_key.as_bytes()),
        ("config.toml", config.as_bytes()),
    ]);
    let path = |name: &str| dir.path().join(name);
    let files = format!("{}\r\n, {} ,", text(&path("secret")), text(&path("powershell")));
    let mut serve = callbox(&["serve", "--ready-json", "--config", text(&path("config.toml"))]);
    let server = Server::spawn(
        serve
            .env("CALLBOX_AUTH_SECRET_FILE", &files)
            .env("CALLBOX_JWT_PUBLIC_KEY", path("jwt.pem"))
            .env("CALLBOX_HTTP", " 127.0.0.1:0\r")
            .env("CALLBOX_LIFETIME", "5m\r\n")
            .env("CALLBOX_API_KEY", "\u{feff} first key \r\n\r\n second key\r\n")
            .env("CALLBOX_ALLOW_PEER", " 10.0.0.0/8 , fd00::/8\r\n")
            .env("CALLBOX_WEBHOOK_URL", " \r\n"),
    );
    assert_eq!(server.ready["realm"], "a realm");
    assert_eq!(server.ready["stun"].as_array().unwrap().len(), 2);
    let token = run(&mut callbox(&["token", "--user", "alice", "--jwt-secret", SECRET])).stdout;
    let answer = server.get("/api/v1/ice-servers", Some(token.trim()));
    assert_eq!(answer.status, 200, "{answer:?}");
    for key in ["first key", "second key"] {
        assert_eq!(server.get("/api/v1/calls", Some(key)).status, 200, "{key}");
    }
    // The same secrets give the same credentials, however they are written.
    let minted = answer.json()["turnCredentials"]["password"].clone();
    let username = answer.json()["turnCredentials"]["username"].clone();
    let signed = ring::hmac::sign(
        &ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"north"),
        username.as_str().unwrap().as_bytes(),
    );
    use base64::Engine;
    assert_eq!(minted, base64::prelude::BASE64_STANDARD.encode(signed.as_ref()));
}

#[test]
fn a_certificate_outside_its_validity_is_reported_and_served() {
    for (years, level, expected) in [
        ([2020, 2021], "ERROR", "has expired at 2021-01-01T00:00:00Z: clients refuse it"),
        ([4000, 4096], "ERROR", "is valid from 4000-01-01T00:00:00Z only: clients refuse it"),
    ] {
        let [cert, key] = pem::signed_for(&["127.0.0.1"], years);
        let (_dir, paths) = pair(&cert, &key);
        let config = run(&mut callbox(&with_certificate("check-config", &paths)));
        assert_eq!(config.status, 0, "{}", config.stderr);
        assert!(config.stderr.contains(expected), "{}", config.stderr);
        let server = Server::spawn(&mut callbox(&with_certificate("serve", &paths)));
        let url = server.text("/https");
        let check = run(&mut callbox(&["check", "--url", url, "--ca-cert", text(&paths[0])]));
        assert_eq!(check.status, 1, "{}", check.stdout);
        let (message, _) = expected.split_once(": clients").unwrap();
        let message = format!("the server's certificate {message}");
        assert!(check.stdout.contains(&message), "{message} is not in {}", check.stdout);
        server.terminate();
        let (status, log) = server.wait();
        assert!(status.success());
        let line = log.lines().find(|line| line.contains(expected));
        assert!(line.is_some_and(|line| line.contains(level)), "{log}");
        assert_eq!(log.matches(expected).count(), 1, "{log}");
    }
}

#[test]
fn an_expired_intermediate_certificate_is_reported() {
    let ([leaf, between, root], key) = pem::chain_until(2021, &["127.0.0.1"]);
    let (_dir, paths) = pair(&[leaf, between, root].concat(), &key);
    let config = run(&mut callbox(&with_certificate("check-config", &paths)));
    assert_eq!(config.status, 0, "{}", config.stderr);
    let expected = "that vouches for the server's own one has expired at 2021-01-01T00:00:00Z";
    assert!(config.stderr.contains(expected), "{}", config.stderr);
    assert!(config.stdout.ends_with("ok, with 1 warning\n"), "{}", config.stdout);
}

#[test]
fn a_certificate_that_expires_soon_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"])
        .args(["-out", text(&paths[0]), "-keyout", text(&paths[1])])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let config = run(&mut callbox(&with_certificate("check-config", &paths)));
    assert_eq!((config.status, config.stderr.as_str()), (0, ""), "a day is what it has in all");
    let faketime = run(Command::new("faketime")
        .args(["-f", "+20h"])
        .arg(env!("CARGO_BIN_EXE_callbox"))
        .args(with_certificate("check-config", &paths)));
    assert_eq!(faketime.status, 0, "{}", faketime.stderr);
    assert!(faketime.stderr.contains("expires soon, at "), "{}", faketime.stderr);
}

/// Returns the certificates, in order, that the server sends to a client that trusts this root.
fn served_chain(server: &Server, root: &CertificateDer<'static>) -> Vec<CertificateDer<'static>> {
    let config = identity::trusting(root);
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let at = server.text("/https").strip_prefix("https://").unwrap();
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).unwrap();
    }
    tls.peer_certificates().unwrap().to_vec()
}

#[test]
fn a_chain_in_wrong_order_is_sorted() {
    let (sections, key) = pem::chain(&["127.0.0.1"]);
    let reversed = format!("\u{feff}{}{}{}", sections[2], sections[1], sections[0]);
    let key = format!("\u{feff}{key}").replace('\n', "\r\n");
    let (_dir, paths) = pair(&reversed.replace('\n', "\r\n"), &key);
    let server = Server::spawn(&mut callbox(&with_certificate("serve", &paths)));
    let in_order = sections.map(|text| CertificateDer::from_pem_slice(text.as_bytes()).unwrap());
    assert_eq!(served_chain(&server, &in_order[2]), in_order);
    server.terminate();
    let (_, log) = server.wait();
    assert!(log.contains("are not in the order of TLS"), "{log}");
}

/// Runs openssl on a key, and returns its output.
fn openssl(args: &[&str], input: &str) -> Vec<u8> {
    use std::process::Stdio;
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    assert!(child.wait().unwrap().success(), "{args:?}");
    output
}

#[test]
fn faults_of_a_pem_file_are_named() {
    let [cert, key] = pem::self_signed(&["127.0.0.1"]);
    let [_, other_key] = pem::self_signed(&["127.0.0.1"]);
    let encrypt = ["pkey", "-aes256", "-passout", "pass:hush-hush"];
    let encrypted = String::from_utf8(openssl(&encrypt, &key)).unwrap();
    let legacy = ["ec", "-aes256", "-passout", "pass:hush-hush"];
    let legacy = String::from_utf8(openssl(&legacy, &key)).unwrap();
    let public = String::from_utf8(openssl(&["pkey", "-pubout"], &key)).unwrap();
    let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let unknown = String::from_utf8(openssl(&curve, "")).unwrap();
    let cut = &cert[..cert.len() - 30];
    for (cert, key, expected) in [
        (&cert[..], &encrypted[..], "is encrypted with a passphrase, and there is nobody to ask"),
        (&cert, &legacy, "is encrypted with a passphrase, and there is nobody to ask"),
        (&key, &cert, "has a private key in it and --tls-key"),
        (&encrypted, &cert, "has a private key in it and --tls-key"),
        (&cert, &public, "has no private key in PEM form in it, but: PUBLIC KEY"),
        (&public, &key, "has no certificate in PEM form in it, but: PUBLIC KEY"),
        (cut, &key, "has no certificate in PEM form in it: a section in it is cut or damaged"),
        (&cert, &other_key, "belongs to no certificate in"),
        (&cert, &unknown, "has no key in it that can be used, which is one of RSA, of P-256"),
        ("", &key, "has no certificate in PEM form in it\n"),
    ] {
        let (_dir, paths) = pair(cert, key);
        let error = refused(&with_certificate("serve", &paths)[1..]);
        assert!(error.contains(expected), "{expected:?} is not in {error}");
        assert!(error.contains("--tls-cert") || error.contains("--tls-key"), "{error}");
        assert!(!error.contains("hush-hush") && !error.contains("BEGIN"), "{error}");
    }
    let dir = directory(&[
        ("cert.der", &openssl(&["x509", "-outform", "DER"], &cert)),
        ("key.pem", key.as_bytes()),
    ]);
    let paths = ["cert.der", "key.pem"].map(|name| dir.path().join(name));
    let error = refused(&with_certificate("serve", &paths)[1..]);
    assert!(error.contains("it is in the binary form (DER)"), "{error}");
}

fn check_config(args: &[&str]) -> Output {
    run(&mut callbox(&[&["check-config"], args].concat()))
}

#[test]
fn check_config_shows_the_settings_and_no_secret() {
    let dir =
        directory(&[("callbox.toml", b"ring-timeout = '30s'\nuser = ['camera:hush-hush']\n")]);
    let path = dir.path().join("callbox.toml");
    let hook = "https://app.example.com/hook?key=hush-hush";
    let args = ["--config", text(&path), "--http", "127.0.0.1:0", "--listen", "127.0.0.1:3478"];
    let mut command = callbox(&[&["check-config"], &args[..]].concat());
    let output = run(command
        .env("CALLBOX_JWT_SECRET", format!("{SECRET}-hush-hush"))
        .env("CALLBOX_AUTH_SECRET", "hush-hush")
        .env("CALLBOX_WEBHOOK_SECRET", "hush-hush-hush-hush")
        .env("CALLBOX_WEBHOOK_URL", hook));
    assert_eq!(output.status, 0, "{}", output.stderr);
    for line in [
        "  ring-timeout = \"30s\"  # file",
        "  http = \"127.0.0.1:0\"  # flag",
        "  jwt-secret = [\"[redacted]\"]  # environment",
        "  user = [\"[redacted]\"]  # file",
        "  webhook-url = \"https://app.example.com/hook?[redacted]\"  # environment",
        "  turn:127.0.0.1:3478?transport=udp",
        "ok, with 1 warning",
    ] {
        assert!(output.stdout.lines().any(|own| own == line), "no {line} in {}", output.stdout);
    }
    assert!(
        output.stderr.starts_with("warning: --auth-secret: a secret of 9 bytes"),
        "{}",
        output.stderr
    );
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("hush"));
}

#[test]
fn check_config_fails_as_the_server_would() {
    let secrets = ["--auth-secret", SECRET, "--jwt-secret", SECRET];
    let here = ["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    for (args, expected) in [
        (&here[..], "no secret for TURN credentials"),
        (&["--ring-timeout", "soon"], "'soon'"),
        (&["--config", "/no/such/file"], "/no/such/file: cannot be read: No such file"),
        (&["--tls-listen", "127.0.0.1:0"], "--tls-listen: there is no certificate"),
        (&["--http", "192.0.2.44:8080"], "cannot listen on 192.0.2.44:8080/tcp (--http)"),
        (&["--listen", "192.0.2.44:3478"], "cannot listen on 192.0.2.44:3478/udp"),
        (&["--relay-ip", "192.0.2.44"], "cannot open relayed addresses on 192.0.2.44"),
        (&["--trace-dir", "/dev/null/traces"], "--trace-dir /dev/null/traces: cannot be written"),
        (&["--state-dir", "/dev/null/state"], "--state-dir /dev/null/state: cannot be written"),
        (&["--call-records", "/no/such/dir/calls"], "--call-records /no/such/dir/calls: cannot be"),
        (&["--auth-secret-file", "/no/such/secret"], "/no/such/secret: cannot be read: No such"),
    ] {
        let is_lone = args == here;
        let all = [if is_lone { &[][..] } else { &secrets }, &here, args].concat();
        // A second option of the same kind would be a different error.
        let all = if args[0] == "--http" { [&secrets[..], args].concat() } else { all };
        let all = if is_lone { here.to_vec() } else { all };
        let error = refused(&all);
        assert!(error.contains(expected), "{expected:?} is not in {error}");
        assert!(!error.contains(SECRET), "{error}");
    }
    let nothing_written = tempfile::tempdir().unwrap();
    let (state, calls) = (nothing_written.path().join("a/b"), nothing_written.path().join("calls"));
    let args = ["--state-dir", text(&state), "--call-records", text(&calls)];
    let output = check_config(&[&secrets[..], &here, &args].concat());
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(fs::read_dir(nothing_written.path()).unwrap().count(), 0);
    // A running server does not disturb the check.
    let server = Server::start();
    let at = ["--http", server.authority(), "--listen", server.turn()];
    let output = check_config(&[&secrets[..], &at].concat());
    assert_eq!(output.status, 0, "{}", output.stderr);
}

#[test]
fn a_check_uses_https_and_names_unresolvable_hosts() {
    let [cert, key] = pem::self_signed(&["127.0.0.1"]);
    let (_dir, paths) = pair(&cert, &key);
    let server = Server::spawn(&mut callbox(&with_certificate("serve", &paths)));
    let url = server.text("/https");
    let good = run(&mut callbox(&["check", "--url", url, "--ca-cert", text(&paths[0])]));
    assert_eq!(good.status, 0, "{}", good.stdout);
    for step in ["https://127.0.0.1:", "valid until 4096-01-01", "signaling", "call ends"] {
        assert!(good.stdout.contains(step), "{step} is not in {}", good.stdout);
    }
    let bad = run(&mut callbox(&["check", "--url", url]));
    assert_eq!(bad.status, 1);
    assert!(
        bad.stdout.contains("UnknownIssuer") && bad.stdout.contains("--ca-cert"),
        "{}",
        bad.stdout
    );
    // RFC 6761 §6.4: this name never resolves.
    let url = "https://callbox.invalid:8443";
    let lost = run(&mut callbox(&["check", "--url", url]));
    assert_eq!(lost.status, 1);
    let expected = "the name callbox.invalid does not resolve: is it in the DNS?";
    assert!(lost.stdout.contains(expected), "{}", lost.stdout);
    for url in ["127.0.0.1:8080", "ftp://127.0.0.1", "https://127.0.0.1/path", "https://"] {
        let output = run(&mut callbox(&["check", "--url", url]));
        assert!(output.stdout.contains("is not an address such as"), "{}", output.stdout);
    }
}
