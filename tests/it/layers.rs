//! The layers of `docs/architecture.md` are those of the workspace: each crate is in its table, and
//! depends on crates of lower layers only.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use regex::Regex;
use serde_json::Value;

/// Returns the layer of each crate by the table of `docs/architecture.md`.
fn documented() -> BTreeMap<String, u32> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let row = Regex::new(r"(?m)^\| (\d+) \| `(callbox[a-z-]*|xtask)` \|").unwrap();
    let rows = row.captures_iter(&page);
    rows.map(|row| (row[2].to_owned(), row[1].parse().unwrap())).collect()
}

/// Returns the packages of the workspace.
fn packages() -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--no-deps", "--locked", "--manifest-path"]);
    let output = command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

#[test]
fn each_crate_depends_on_lower_layers_alone() {
    let layers = documented();
    let packages = packages();
    let mut crates: Vec<_> = packages.iter().map(name).collect();
    crates.sort();
    assert_eq!(layers.keys().map(String::as_str).collect::<Vec<_>>(), crates);
    for package in &packages {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let ours = dependencies.filter(|dependency| layers.contains_key(name(dependency)));
        // A crate's tests may use the test helpers of its dependencies.
        for dependency in ours {
            let (user, used) = (name(package), name(dependency));
            assert!(layers[used] < layers[user], "{user} depends on {used}");
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_outside_of_one_crate() {
    for package in packages() {
        for target in package["targets"].as_array().unwrap() {
            let kinds = target["kind"].as_array().unwrap();
            if !kinds.iter().any(|kind| kind == "lib" || kind == "bin") {
                continue;
            }
            let path = target["src_path"].as_str().unwrap();
            let forbids = fs::read_to_string(path).unwrap().contains("\n#![forbid(unsafe_code)]\n");
            assert_eq!(forbids, name(&package) != "callbox-sys", "{path}");
        }
    }
}

/// The two cores and the crates below them can be used on their own: without I/O, without an async
/// runtime or a dependency that needs one, and without each other.
#[test]
fn the_cores_bring_no_runtime_and_not_each_other() {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    for (core, other) in [
        ("callbox-base", "callbox-stun"),
        ("callbox-stun", "callbox-base"),
        ("callbox-turn", "callbox-signaling"),
        ("callbox-signaling", "callbox-turn"),
    ] {
        let mut command = Command::new(&cargo);
        command.args(["tree", "--locked", "--edges=normal", "--prefix=none", "--package", core]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(tree.starts_with(core), "{tree}");
        for line in tree.lines() {
            let dependency = line.split(' ').next().unwrap();
            let refused = ["tokio", "mio", "axum", "webrtc-util", "stun", "turn", other];
            assert!(!refused.contains(&dependency), "{core}: {line}");
        }
    }
}
