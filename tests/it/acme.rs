//! Certificates by ACME: the real binary orders them from a CA that checks the protocol strictly.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    acme_server::{
        Fault, tls,
        world::{NAME, World, expiry, send_sighup, tls_port},
    },
    common::{Server, callbox, run},
    support::plain_client::{Framed, Wire},
};

const ACME_TLS: &[u8] = b"acme-tls/1";

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

const SECOND: Duration = Duration::from_secs(1);

/// Lists every file below `dir` with its mode, except for the lock that a running server holds on
/// the directory.
fn files(dir: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false if entry.file_name() == "lock" => {}
            false => {
                let name = entry.file_name().into_string().unwrap();
                found.push((name, entry.metadata().unwrap().permissions().mode() & 0o777));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_first_certificate_is_ordered_and_served() {
    let world = World::new();
    let second = "call.example.com";
    let options = ["--acme-domain", second, "--acme-email", "admin@example.com"];
    let server = world.serve(&options);
    // Until the first certificate, clients that do not verify certificates are served.
    world.ca.wait_for("challenge", 2);
    assert!(world.browse(&server).is_err());
    let stream = Framed::new(tls::connect(tls_port(&server), NAME, &[b"stun.turn"]).unwrap());
    stream.write(BINDING);
    assert_eq!(stream.take()[..2], [1, 1]);
    assert_eq!(expiry(&server), 0.0);

    world.ca.validate_at(tls_port(&server), 2);
    world.wait_for_certificate(&server);
    let certificate = tls::leaf(&world.browse(&server).unwrap());
    let certificate = webpki::EndEntityCert::try_from(&certificate).unwrap();
    assert_eq!(certificate.valid_dns_names().collect::<Vec<_>>(), [NAME, second]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let left = expiry(&server) - now.as_secs_f64();
    assert!((88.0..90.0).contains(&(left / 86400.0)), "{left}");
    assert_eq!(world.ca.contacts(), [["mailto:admin@example.com"]]);
    let kept = [("account.json", 0o600), ("certificate.pem", 0o600)];
    assert_eq!(files(world.state.path()), kept.map(|(name, mode)| (name.to_owned(), mode)));
    let log = world.end(server);
    assert!(log.contains("a self-signed one is shown"), "{log}");
    assert!(log.contains("a new certificate is shown"), "{log}");
}

/// The challenge stays open until the CA has validated it, and no other client gets the answer.
#[test]
fn a_challenge_is_answered_only_to_the_ca() {
    let world = World::new();
    let server = world.serve(&[]);
    world.ca.wait_for("challenge", 1);
    for at in [tls_port(&server), server.turn(), server.authority()] {
        let shown = |name, alpn: &[&[u8]]| tls::connect(at, name, alpn);
        let challenge = tls::leaf(&shown(NAME, &[ACME_TLS]).unwrap());
        let usual = tls::leaf(&shown(NAME, &[]).unwrap());
        assert_ne!(challenge, usual, "{at}");
        assert_eq!(tls::leaf(&shown("TURN.example.com", &[ACME_TLS]).unwrap()), challenge);
        // A client that offers other protocols as well is no CA.
        let mixed = shown(NAME, &[ACME_TLS, b"http/1.1"]).unwrap();
        assert_eq!(mixed.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(tls::leaf(&mixed), usual);
        assert!(shown("other.example.com", &[ACME_TLS]).is_err());
        assert!(shown("127.0.0.1", &[ACME_TLS]).is_err(), "without a name");
    }
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    assert!(tls::connect(tls_port(&server), NAME, &[ACME_TLS]).is_err());
    world.end(server);
}

#[test]
fn a_stored_certificate_is_used_after_a_restart() {
    let world = World::new();
    let server = world.serve(&[]);
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    let certificate = tls::leaf(&world.browse(&server).unwrap());
    world.end(server);

    let requests = world.ca.count("newOrder") + world.ca.count("newAccount");
    assert_eq!(requests, 2);
    let server = world.serve(&[]);
    assert_eq!(tls::leaf(&world.browse(&server).unwrap()), certificate);
    let log = world.end(server);
    assert!(log.contains("the certificate that was kept is shown"), "{log}");
    assert!(!log.contains("ordering"), "{log}");
    assert_eq!(world.ca.count("newOrder"), 1);

    // A certificate that lacks a name is not enough. The account stays the same.
    let server = world.serve(&["--acme-domain", "new.example.com", "--acme-email", "a@b.example"]);
    assert!(world.browse(&server).is_err());
    world.ca.validate_at(tls_port(&server), 2);
    world.wait_for_certificate(&server);
    assert_eq!((world.ca.count("newOrder"), world.ca.count("newAccount")), (2, 1));
    assert_eq!(world.ca.contacts(), [["mailto:a@b.example"]]);
    let log = world.end(server);
    assert!(log.contains("is not used: the certificate is for turn.example.com, not for"), "{log}");
}

#[test]
fn an_unusable_stored_certificate_is_ordered_again() {
    let world = World::new();
    let server = world.serve(&[]);
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    world.end(server);
    let dir =
        fs::read_dir(world.state.path().join("acme")).unwrap().next().unwrap().unwrap().path();
    fs::write(dir.join("certificate.pem"), "half a certifica").unwrap();
    let server = world.serve(&[]);
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    let log = world.end(server);
    assert!(log.contains("certificate.pem is not used: there is no certificate in it"), "{log}");
}

#[test]
fn renewal_drops_no_connection() {
    let world = World::new();
    // Less than a third of its lifetime is left.
    world.ca.next_lifetime(300 * SECOND, 100 * SECOND);
    let server = world.serve(&[]);
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    let first = world.browse(&server).unwrap();
    let (certificate, end) = (tls::leaf(&first), expiry(&server));
    let session = Framed::new(first);
    session.write(BINDING);
    assert_eq!(session.take()[..2], [1, 1]);

    // The next order waits for validation by the CA, and the served certificate stays.
    world.ca.wait_for("challenge", 2);
    assert_eq!(tls::leaf(&world.browse(&server).unwrap()), certificate);
    world.ca.validate_at(tls_port(&server), 1);
    let shown = || tls::leaf(&world.browse(&server).unwrap());
    crate::support::wait_until("the next certificate", || shown() != certificate);
    assert!(expiry(&server) > end + 86400.0);
    session.write(BINDING);
    assert_eq!(session.take()[..2], [1, 1]);
    assert_eq!((world.ca.count("newOrder"), world.ca.count("newAccount")), (2, 1));
    let log = world.end(server);
    assert_eq!(log.matches("a new certificate is shown").count(), 2, "{log}");
}

/// Each of these failures is retried, and its log line contains the CA's own words.
#[test]
fn failures_are_logged_and_retried() {
    for (resource, fault, expected) in [
        ("newOrder", Fault::Refuse, "not for such a name"),
        ("newAccount", Fault::BadGateway, "it answers 502 Bad Gateway"),
        ("finalize", Fault::RateLimited(1), "too many for today"),
        ("newOrder", Fault::NoAccount, "does not know the account"),
    ] {
        let world = World::new();
        world.ca.fail(resource, fault);
        let server = world.serve(&[]);
        world.ca.validate_at(tls_port(&server), 2);
        world.wait_for_certificate(&server);
        let log = world.end(server);
        let line = log.lines().find(|line| line.contains("ERROR")).expect(expected);
        assert!(line.contains(expected) && line.contains("again_in=\"1s\""), "{line}");
        assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    }
}

#[test]
fn a_bad_nonce_is_retried_without_an_error() {
    let world = World::new();
    for resource in ["newAccount", "newOrder", "challenge", "finalize"] {
        world.ca.fail(resource, Fault::BadNonce);
    }
    let server = world.serve(&[]);
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    let log = world.end(server);
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(world.ca.count("newOrder"), 2);
}

#[test]
fn the_retry_after_of_a_ca_is_respected() {
    let world = World::new();
    world.ca.fail("newOrder", Fault::RateLimited(3));
    let server = world.serve(&[]);
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    let times = world.ca.times("newOrder");
    assert_eq!(times.len(), 2);
    // Retry-After is in whole seconds, and counts from the response.
    assert!(times[1] - times[0] > 2 * SECOND, "{:?}", times[1] - times[0]);
    world.end(server);
}

#[test]
fn a_failed_validation_is_logged_with_its_name() {
    let world = World::new();
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nowhere.local_addr().unwrap().to_string();
    drop(nowhere);
    world.ca.validate_at(&address, 1);
    let server = world.serve(&[]);
    world.ca.wait_for("challenge", 2);
    world.ca.validate_at(tls_port(&server), 1);
    world.wait_for_certificate(&server);
    let log = world.end(server);
    let expected = "the CA could not validate a name: turn.example.com: API error: no connection";
    assert!(log.contains(expected), "{log}");
}

#[test]
fn a_sighup_ends_the_pause_early() {
    let world = World::new();
    world.ca.fail("newOrder", Fault::Refuse);
    let server = world.serve(&["--acme-retry", "1h"]);
    world.ca.validate_at(tls_port(&server), 1);
    world.ca.wait_for("newOrder", 1);
    // The server may still be reading the refusal.
    crate::support::wait_until("the next order", || {
        send_sighup(&server);
        world.ca.count("newOrder") > 1
    });
    world.wait_for_certificate(&server);
    world.end(server);
}

/// No client is sent to a name before the CA has issued a certificate for it, since a browser would
/// refuse the connection.
#[test]
fn clients_get_the_first_name_once_there_is_a_certificate() {
    let world = World::new();
    let state = world.state.path().to_str().unwrap();
    let (directory, root) = (world.ca.directory(), world.ca.root());
    let secret = "0123456789abcdef0123456789abcdef";
    let secrets = ["serve", "--ready-json", "--auth-secret", secret, "--jwt-secret", secret];
    let listen = ["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--tls-listen", "0.0.0.0:0"];
    let names =
        ["--acme-domain", "Turn.example.com", "--acme-domain", "b.example", "--state-dir", state];
    let ca = ["--acme-directory", &directory, "--trust-ca", root.to_str().unwrap()];
    let rest = ["--acme-retry", "1s", "--lifetime", "1m"];
    let server = Server::spawn(&mut callbox(&[&secrets[..], &listen, &names, &ca, &rest].concat()));
    let port = tls_port(&server).strip_prefix("turn.example.com:").unwrap();
    let token = run(&mut callbox(&["token", "--jwt-secret", secret, "--user", "alice"])).stdout;
    let turns = || {
        let answer = server.get("/api/v1/ice-servers", Some(token.trim())).json();
        let uris = answer["turnCredentials"]["uris"].as_array().unwrap().clone();
        uris.into_iter().find(|uri| uri.as_str().unwrap().starts_with("turns:"))
    };
    world.ca.wait_for("challenge", 1);
    assert_eq!(turns(), None);
    world.ca.validate_at(&format!("127.0.0.1:{port}"), 2);
    crate::support::wait_until("a URI for TLS", || turns().is_some());
    assert_eq!(turns().unwrap(), format!("turns:turn.example.com:{port}?transport=tcp"));
    let log = world.end(server);
    assert!(log.contains("clients are told other TURN addresses"), "{log}");
}

#[test]
fn the_server_starts_while_the_ca_is_unreachable() {
    let world = World::new();
    let state = world.state.path().to_str().unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    let secrets = ["serve", "--ready-json", "--auth-secret", secret, "--jwt-secret", secret];
    let listen = ["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--tls-listen", "0.0.0.0:0"];
    let acme =
        ["--acme-domain", "Turn.example.com", "--acme-domain", "b.example", "--state-dir", state];
    // Nothing listens there, and the certificate would not be among the trusted roots.
    let rest = ["--acme-directory", "https://127.0.0.1:9/directory", "--lifetime", "1m"];
    let server = Server::spawn(&mut callbox(&[&secrets[..], &listen, &acme, &rest].concat()));
    assert!(tls_port(&server).starts_with("turn.example.com:"));
    server.terminate();
    let (_, log) = server.wait();
    assert!(log.contains("the CA comes to port 443, and no --tls-listen has it"), "{log}");
}

/// The certificate of the CA's own server is verified.
#[test]
fn an_untrusted_ca_gets_no_request() {
    let world = World::new();
    let directory = world.ca.directory();
    let state = world.state.path().to_str().unwrap();
    let acme = ["--acme-domain", NAME, "--acme-directory", &directory, "--state-dir", state];
    let server = Server::with(&[&acme[..], &["--acme-retry", "1s"]].concat());
    // The server connects again and again, and gets no further than the handshake.
    world.ca.wait_for("nothing", 2);
    let log = world.end(server);
    assert_eq!(world.ca.count("newAccount"), 0);
    let expected = format!("error={directory}: invalid peer certificate: UnknownIssuer");
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn invalid_acme_options_are_refused_with_a_reason() {
    let world = World::new();
    let state = world.state.path().to_str().unwrap();
    let root = world.ca.root();
    let root = root.to_str().unwrap();
    let file = format!("{root}/inside-a-file");
    let nowhere = ["serve", "--dev", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let acme = ["--acme-domain", NAME, "--state-dir", state];
    for (options, expected) in [
        (&acme[..2], "--acme-domain: it needs --state-dir, too"),
        (&["--acme-email", "a@b.example"], "--acme-email: it needs --acme-domain, too"),
        (
            &["--trust-ca", root],
            "--trust-ca: it needs --acme-domain, --jwt-jwks-url or --webhook-url, too",
        ),
        (
            &[&acme[..], &["--tls-cert", root, "--tls-key", root]].concat(),
            "--acme-domain: there is --tls-cert already",
        ),
        (&["--acme-domain", "*.example.com"], "expected a host name"),
        (&["--acme-domain", "192.0.2.1"], "expected a host name"),
        (&["--acme-email", "nobody"], "expected one e-mail address"),
        (&["--acme-directory", "http://ca.example"], "expected production, staging or"),
        (&["--acme-domain", NAME, "--state-dir", &file], "inside-a-file: cannot be written: "),
        (&[&acme[..], &["--trust-ca", "/nowhere"]].concat(), "--trust-ca: /nowhere: No such"),
        (
            &[&acme[..], &["--trust-ca", "/dev/null"]].concat(),
            "/dev/null: no certificate in PEM form",
        ),
    ] {
        let output = run(&mut callbox(&[&nowhere[..], options].concat()));
        assert_ne!(output.status, 0, "{options:?}");
        assert!(output.stderr.contains(expected), "{options:?}: {}", output.stderr);
    }
}
