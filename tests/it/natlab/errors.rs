//! Wrong arguments, and systems that lack something: a sentence, and exit code 2.

use std::process::Command;

use super::natlab;
use crate::common::run;

/// Returns the one line of stderr of a command that has to exit with 2.
fn error(command: &mut Command) -> String {
    let output = run(command);
    assert_eq!((output.status, &*output.stdout), (2, ""), "{}", output.stderr);
    output.stderr
}

#[test]
fn an_unknown_kind_names_the_nearest() {
    let text = error(&mut natlab(&["run", "--a", "symetric", "--", "true"]));
    assert!(text.contains("there is no `symetric`; did you mean `symmetric`?"), "{text}");
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let text = error(&mut natlab(&["run", "--no-server", "--a", "none", "--", "/no/such/program"]));
    assert!(text.contains("`/no/such/program` cannot be started: No such file"), "{text}");
}

#[test]
fn a_side_that_does_not_exist_is_named_with_those_that_do() {
    let text = error(&mut natlab(&["run", "--no-server", "--a", "none", "--on", "c", "true"]));
    assert!(text.contains("there is no side `c`; there are a, internet"), "{text}");
}

#[test]
fn a_server_elsewhere_has_an_address() {
    for (option, value, example) in [
        ("--stun", "203.0.113.1", "stun:203.0.113.1:3478"),
        ("--stun", "turn:203.0.113.1", "stun:203.0.113.1:3478"),
        ("--turn", "turn:203.0.113.1,turns:turn.example.com", "turn:203.0.113.1:3478"),
    ] {
        let text = error(&mut natlab(&["run", "--a", "none", option, value, "--", "true"]));
        let uri = value.rsplit(',').next().unwrap();
        let wanted = format!("`{uri}` is no URI with an address, as {example}");
        assert!(text.contains(&wanted), "{text}");
    }
}

#[test]
fn an_error_in_a_file_names_the_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = "[sides.a]\nkind = \"none\"\nlink = \"dsl\"\n";
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let text = error(&mut natlab(&["run", "--file", path, "--", "true"]));
    assert!(text.contains(&format!("{path}, line 3: unknown link `dsl`; there is none")), "{text}");
}

/// Runs natlab as root of a user namespace, after `prepare` has changed the system for it.
fn on_changed_system(prepare: &str) -> String {
    let script =
        format!("{prepare} && exec \"$0\" natlab run --no-server --a symmetric --on a true");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", &script]);
    error(command.arg(env!("CARGO_BIN_EXE_callbox")))
}

#[test]
fn a_system_without_namespaces_is_told_what_it_needs() {
    let text = on_changed_system("echo 0 > /proc/sys/user/max_net_namespaces");
    assert!(text.contains("this user may not make network namespaces"), "{text}");
    assert!(text.contains("run it as root, or allow user namespaces"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_system_without_nft_is_told_to_install_it() {
    let empty = "mount -t tmpfs none /usr/sbin && mount -t tmpfs none /usr/local; \
                 PATH=/usr/bin:/bin; ! command -v nft >/dev/null";
    let text = on_changed_system(empty);
    assert!(text.contains("there is no `nft`"), "{text}");
    assert!(text.contains("install nftables"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}
