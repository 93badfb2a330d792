//! Networks that tests make for themselves.

use std::process::Command;

/// Runs a test in a network of its own, in which loopback is up and these commands have been run. The test
/// is started again for it, by its name.
pub fn in_own_network(test: &str, setup: &str, body: impl FnOnce()) {
    const INSIDE: &str = "IN_OWN_NETWORK";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let status = Command::new("unshare")
        .args(["-rn", "sh", "-c"])
        .arg(format!("ip link set lo up && {setup} && exec \"$0\" --exact \"$1\" --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "it needs unshare and ip, and to be allowed a network of its own");
}
