//! Networks that tests make for themselves.

use std::{env, fs, process::Command};

/// The variable by which a test knows that it runs in a network of its own: the path of a file that
/// it creates then.
const INSIDE: &str = "IN_OWN_NETWORK";

/// Returns true if this system permits networks of one's own.
pub fn is_allowed() -> bool {
    Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|status| status.success())
}

/// Runs a test in a network of its own, in which loopback is up and these commands have been run.
/// The test is started again for it, by its name with the modules.
pub fn in_own_network(test: &str, setup: &str, body: impl FnOnce()) {
    if let Some(begun) = env::var_os(INSIDE) {
        fs::write(begun, "").unwrap();
        return body();
    }
    let dir = tempfile::tempdir().unwrap();
    let begun = dir.path().join("begun");
    let status = Command::new("unshare")
        .args(["-rn", "sh", "-c"])
        .arg(format!("ip link set lo up && {setup} && exec \"$0\" --exact \"$1\" --nocapture"))
        .arg(env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, &begun)
        .status()
        .unwrap();
    assert!(status.success(), "it needs unshare and ip, and to be allowed a network of its own");
    assert!(begun.exists(), "there is no test with the name {test}");
}
