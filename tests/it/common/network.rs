//! Network namespaces for tests.

use std::{env, fs, process::Command};

/// The variable that tells a test process that it runs in its own network namespace: the path of a
/// file that it creates then.
const INSIDE: &str = "IN_OWN_NETWORK";

/// Returns true if this system permits network namespaces.
pub(crate) fn is_allowed() -> bool {
    Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|status| status.success())
}

/// Runs a test in a network namespace of its own, in which loopback is up and these commands have
/// been run. The test is started again for this, by its name with the modules.
pub(crate) fn in_own_network(test: &str, setup: &str, body: impl FnOnce()) {
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
