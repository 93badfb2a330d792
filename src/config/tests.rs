use std::{collections::HashMap, ffi::OsString, io::Write, path::Path};

use callbox_cli::TokenOptions;
use clap::Parser;
use tempfile::NamedTempFile;

use super::*;

#[derive(Debug, Parser)]
// Only one exists at a time.
#[expect(clippy::large_enum_variant)]
enum Cli {
    Serve(Box<Options>),
    /// Shares some options with the server and has a `--user` of its own.
    Token {
        #[command(flatten)]
        source: SourceOptions,
        #[command(flatten)]
        tokens: TokenOptions,
        #[arg(long)]
        user: Option<String>,
    },
}

type Vars<'a> = &'a [(&'a str, &'a str)];

fn parse_cli(args: &[&str], vars: Vars<'_>) -> Result<Cli, ConfigError> {
    let vars: HashMap<_, _> = vars.iter().copied().collect();
    let args: Vec<OsString> = std::iter::once(&"callbox").chain(args).map(Into::into).collect();
    parse(&args, &|name| vars.get(name).map(Into::into))
}

fn serve(args: &[&str], vars: Vars<'_>) -> Result<Box<Options>, ConfigError> {
    let args: Vec<_> = std::iter::once(&"serve").chain(args).copied().collect();
    match parse_cli(&args, vars)? {
        Cli::Serve(options) => Ok(options),
        Cli::Token { .. } => unreachable!("serve was asked for"),
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// Returns the error for a file with this text, without the file's name.
fn file_error(text: &str) -> String {
    let file = file(text);
    let error = serve(&["--config", path(&file)], &[]).unwrap_err().to_string();
    error.strip_prefix(path(&file)).unwrap().to_owned()
}

fn config_error(args: &[&str]) -> String {
    Config::new(*serve(args, &[]).unwrap()).err().unwrap().to_string()
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = file(
        "realm = 'file'\nring-timeout = '1s'\ncandidate-hold = '1s'\nlisten = ['127.0.0.1:1', \
         '127.0.0.1:2']\nready-json = true",
    );
    let vars = [("CALLBOX_REALM", "environment"), ("CALLBOX_RING_TIMEOUT", "2s")];
    let options = serve(&["--realm", "flag", "--config", path(&file)], &vars).unwrap();
    assert_eq!(options.turn_users.realm, "flag");
    assert_eq!(options.signaling.ring_timeout.0, Duration::from_secs(2));
    assert_eq!(options.signaling.candidate_hold.0, Duration::from_secs(1));
    assert_eq!(options.addresses.listen.len(), 2);
    assert!(options.run.ready_json);
    assert!(!options.source.dev);
    // The environment may name the file, and a flag may turn off what the file turns on.
    let vars = [("CALLBOX_CONFIG", path(&file))];
    let options = serve(&["--ready-json=false"], &vars).unwrap();
    assert_eq!(options.turn_users.realm, "file");
    assert!(!options.run.ready_json);
}

#[test]
fn a_list_is_taken_from_one_layer_as_a_whole() {
    let file = file("allow-peer = ['10.0.0.0/8']\nauth-secret = ['a,b', 'c']");
    let vars = [("CALLBOX_ALLOW_PEER", "192.168.0.0/16,fd00::/8")];
    let options = serve(&["--config", path(&file)], &vars).unwrap();
    assert_eq!(options.relay.allow_peer.len(), 2);
    assert_eq!(options.credentials.auth_secret[0].expose_text(), Some("a,b"));
    let vars = [("CALLBOX_AUTH_SECRET", "x,y\nz")];
    let options = serve(&["--config", path(&file)], &vars).unwrap();
    assert_eq!(options.credentials.auth_secret[0].expose_text(), Some("x,y"));
    assert_eq!(options.credentials.auth_secret.len(), 2);
}

#[test]
fn an_empty_variable_is_not_set() {
    let options = serve(&[], &[("CALLBOX_REALM", ""), ("CALLBOX_USER", "")]).unwrap();
    assert_eq!(options.turn_users.realm, "callbox");
}

#[test]
fn a_typo_is_named_with_its_line_and_the_nearest_key() {
    assert_eq!(
        file_error("# a comment\nrealm = 'x'\nring-timout = '5s'\n"),
        ":3: there is no option `ring-timout`; did you mean `ring-timeout`?"
    );
    assert_eq!(
        file_error("max_allocations = 5"),
        ":1: there is no option `max_allocations`; did you mean `max-allocations`?"
    );
    assert_eq!(
        file_error("[turn]\nrealm = 'x'"),
        ":1: there is no option `turn`; did you mean `user`?"
            .replace("did you mean `user`?", "the options are listed by `callbox serve --help`")
    );
    assert!(file_error("\nrealm = 'x\n").starts_with(":2: "));
    assert!(file_error("realm = 'x'\nrealm = 'y'\n").starts_with(":2: "));
}

#[test]
fn a_wrong_value_is_named_with_the_expected_form() {
    assert_eq!(
        file_error("\nring-timeout = 45"),
        ":2: `ring-timeout`: \"45\" does not fit: expected a length of time such as 300ms, 45s, \
         10m or 1h30m"
    );
    assert_eq!(
        file_error("log-format = 'xml'"),
        ":1: `log-format`: \"xml\" does not fit: expected one of text, json"
    );
    assert_eq!(file_error("realm = ['a', 'b']"), ":1: `realm`: it takes one value, not a list");
    assert_eq!(
        file_error("realm = 1.5"),
        ":1: `realm`: expected text, a whole number, true or false"
    );
    assert_eq!(
        file_error("config = 'other.toml'"),
        ":1: `config`: a file cannot name another file"
    );
    assert!(file_error("[realm]\na = 1").starts_with(":1: `realm`: "));
    let error = serve(&[], &[("CALLBOX_LISTEN", "nowhere")]).unwrap_err().to_string();
    assert!(error.starts_with("environment variable CALLBOX_LISTEN: \"nowhere\" "), "{error}");
    let error = serve(&["--config", "/no/such/file"], &[]).unwrap_err().to_string();
    assert!(error.starts_with("/no/such/file: cannot be read: "), "{error}");
}

#[test]
fn no_error_shows_a_secret() {
    let error = file_error("auth-secret = ''");
    assert_eq!(error, ":1: `auth-secret`: a secret cannot be empty");
    let error = config_error(&["--dev", "--user", "hush-hush"]);
    assert_eq!(error, "--user: user number 1 is not written as NAME:PASSWORD");
    let error = config_error(&["--dev", "--user", "a:hush", "--user", "a:hush"]);
    assert_eq!(error, "--user: \"a\" is there twice");
    let args = ["--dev", "--oauth-key", "kid:hush"];
    let error = serve(&args, &[]).and_then(|options| Config::new(*options)).err().unwrap();
    let error = error.to_string();
    assert!(error.starts_with("--oauth-key: key number 1: expected KID:KEY"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn another_command_takes_its_options_from_the_environment_and_the_file() {
    let file = file("jwt-secret = 'shared'\nuser = ['static:user']\nhttp = '127.0.0.1:0'");
    let vars = [("CALLBOX_USER", "static:user"), ("CALLBOX_JWT_ISSUER", "us")];
    let cli = parse_cli(&["token", "--config", path(&file)], &vars).unwrap();
    let Cli::Token { source, tokens, user } = cli else { unreachable!("token was asked for") };
    assert_eq!(source.config.as_deref(), Some(Path::new(path(&file))));
    assert_eq!(tokens.jwt_secret.len(), 1);
    assert_eq!(tokens.jwt_issuer.as_deref(), Some("us"));
    assert_eq!(user, None);
}

#[test]
fn a_missing_secret_is_an_error_that_says_how_to_make_one() {
    let error = config_error(&[]);
    assert!(error.contains("no secret for TURN") && error.contains("openssl rand -base64 32"));
    let error = config_error(&["--auth-secret", "x"]);
    assert!(error.contains("no key for tokens") && error.contains("openssl rand -base64 32"));
    let config = Config::new(*serve(&["--auth-secret", "x", "--jwt-secret", "y"], &[]).unwrap());
    let config = config.unwrap();
    assert!(config.dev.is_none() && !config.http.dev);
    assert!(config.warnings[0].contains("shorter than the 32"));
    assert_eq!(config.http_listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.relay.listen[0].to_string(), "0.0.0.0:3478");
}

#[test]
fn a_short_secret_is_named_by_the_option_that_gives_it() {
    let (token, credential) = (file("y"), file("x"));
    let args = ["--jwt-secret-file", path(&token), "--auth-secret-file", path(&credential)];
    let long = ["--jwt-secret", &"z".repeat(32), "--auth-secret", "z"];
    let args: Vec<_> = args.iter().chain(&long).copied().collect();
    let config = Config::new(*serve(&args, &[]).unwrap()).unwrap();
    let expected = [
        format!("--jwt-secret-file {}: a secret of 1 bytes", path(&token)),
        "--auth-secret: a secret of 1 bytes".to_owned(),
        format!("--auth-secret-file {}: a secret of 1 bytes", path(&credential)),
    ];
    for (warning, expected) in config.warnings.iter().zip(&expected) {
        assert!(warning.starts_with(expected), "{warning}");
    }
    assert!(config.warnings.len() >= expected.len());
}

/// With TLS, tokens need not be sent unencrypted.
#[test]
fn with_a_certificate_plain_http_is_on_loopback_unless_it_is_set() {
    let secrets = ["--auth-secret", "x", "--jwt-secret", "y"];
    let made = |args: &[&str]| {
        let options = serve(&[&secrets[..], args].concat(), &[]).unwrap();
        let config = Config::new(*options).unwrap();
        let warned = config.warnings.iter().filter(|text| text.starts_with("--http ")).count();
        (config.http_listen.to_string(), warned)
    };
    let files = ["--tls-cert", "/no/cert.pem", "--tls-key", "/no/key.pem"];
    let acme = ["--acme-domain", "turn.example.com", "--state-dir", "/no/state"];
    let loopback = ("127.0.0.1:8080".to_owned(), 0);
    for certificate in [&files[..], &acme] {
        assert_eq!(made(certificate), loopback);
        assert_eq!(made(&[certificate, &["--http", "[::]:80"]].concat()), ("[::]:80".into(), 1));
        let inner = ["--http", "10.0.0.5:8080"];
        assert_eq!(made(&[certificate, &inner].concat()), ("10.0.0.5:8080".into(), 0));
    }
    assert_eq!(made(&["--http", "0.0.0.0:8080"]), ("0.0.0.0:8080".into(), 0));
}

#[test]
fn there_are_no_more_workers_than_a_connection_id_can_name() {
    let workers = |number: usize| {
        let options = serve(&["--dev", "--workers", &number.to_string()], &[]).unwrap();
        Config::new(*options).map(|config| config.relay.workers)
    };
    assert_eq!(workers(turn::MAX_WORKERS).unwrap(), turn::MAX_WORKERS);
    let Err(ConfigError::Option { option, reason }) = workers(turn::MAX_WORKERS + 1) else {
        panic!("1025 workers are too many");
    };
    assert_eq!(option, "workers");
    assert!(reason.starts_with("1025 is more than the 1024 that there can be; "), "{reason}");
}

/// A longer one would not be a REALM that clients must be able to read (RFC 8489 §14.9).
#[test]
fn a_realm_has_fewer_than_128_characters() {
    let realm = |len| serve(&["--dev", "--realm", &"é".repeat(len)], &[]);
    assert_eq!(realm(127).unwrap().turn_users.realm.chars().count(), 127);
    let error = realm(128).unwrap_err().to_string();
    assert!(error.contains("expected a name of fewer than 128 characters"), "{error}");
}

#[test]
fn dev_generates_secrets_and_stays_on_loopback() {
    let config = Config::new(*serve(&["--dev", "--jwt-secret", "mine"], &[]).unwrap()).unwrap();
    let dev = config.dev.unwrap();
    assert_eq!(dev.jwt.expose_text(), Some("mine"));
    assert_eq!(dev.auth.expose().len(), 43);
    assert!(config.http_listen.ip().is_loopback());
    assert!(config.relay.listen.iter().all(|address| address.ip().is_loopback()));
    let error = config_error(&["--dev", "--http", "0.0.0.0:8080"]);
    assert!(error.starts_with("--http: 0.0.0.0:8080 is no loopback address"), "{error}");
    let error = config_error(&["--dev", "--listen", "[::]:0"]);
    assert!(error.starts_with("--listen: [::]:0 is no loopback address"), "{error}");
}

#[test]
fn an_auth_secret_may_be_in_a_file() {
    let secret = file("from-a-file\n");
    let options = serve(&["--auth-secret", "x", "--auth-secret-file", path(&secret)], &[]).unwrap();
    let secrets = options.credentials.secrets(false).unwrap();
    assert_eq!(secrets[1].expose_text(), Some("from-a-file"));
    let empty = file("\n");
    let error = config_error(&["--auth-secret-file", path(&empty)]);
    assert!(error.contains("has nothing in its first line"), "{error}");
    let error = config_error(&["--auth-secret", "x", "--jwt-public-key", path(&empty)]);
    assert!(error.contains("is not a public key in PEM form"), "{error}");
}

/// The defaults and examples in the annotated file are valid values.
#[test]
fn the_annotated_file_can_be_used_as_it_is() {
    let options: String = annotated_file()
        .lines()
        .filter_map(|line| {
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let all = file(&options);
    let options = serve(&["--config", path(&all)], &[]).unwrap();
    assert_eq!(options.signaling.ring_timeout.0, Duration::from_secs(45));
    assert_eq!(options.addresses.listen.len(), 2);
    let plain = file(&annotated_file());
    assert!(serve(&["--config", path(&plain)], &[]).is_ok());
}
