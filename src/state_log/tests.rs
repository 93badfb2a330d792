//! The log as a whole, with real files.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

use super::{Change, Found, StateLog, Sync};

fn change(key: &str, value: Option<&str>) -> Change {
    Change { key: key.into(), value: value.map(Into::into) }
}

fn read(path: &Path) -> Found {
    super::read::read(path).unwrap()
}

fn entries(path: &Path) -> Vec<String> {
    read(path).entries.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

#[tokio::test]
async fn the_first_batch_replaces_the_files_that_were_read() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, unopened) = StateLog::read(dir.path().into(), Sync::Always).unwrap();
    log.put([change("a", Some("1")), change("b", Some("1"))]);
    unopened.open([]).unwrap();
    assert!(log.flush().await);
    log.close().await;
    let (log, found, unopened) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
    assert_eq!(found.entries.len(), 2);
    // A second server gets an error, and one that does not start changes nothing.
    assert!(StateLog::read(dir.path().into(), Sync::Never).is_err());
    drop(unopened);
    assert_eq!(entries(dir.path()), ["a=1", "b=1"]);
    drop(log);

    let (log, found, unopened) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
    log.put([change("b", Some("2"))]);
    unopened.open(found.entries.into_keys()).unwrap();
    assert!(log.flush().await);
    assert_eq!(entries(dir.path()), ["b=2"]);
    log.discard().await;
    assert_eq!(entries(dir.path()), [""; 0]);
}

#[tokio::test]
async fn a_file_with_something_unreadable_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("calls-0000000007.log"), "no checksum\n").unwrap();
    let (log, found, unopened) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
    assert_eq!((found.damaged, found.entries.len()), (1, 0));
    unopened.open([]).unwrap();
    assert!(log.flush().await);
    let aside = dir.path().join("calls-0000000007.unreadable");
    assert_eq!(fs::read_to_string(aside).unwrap(), "no checksum\n");
    log.close().await;
}

/// The directory is removed, so no file can be created; then it is created again.
#[tokio::test]
async fn changes_that_the_disk_refuses_wait_and_block_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (log, _, unopened) = StateLog::read(path.clone(), Sync::Never).unwrap();
    fs::remove_dir_all(&path).unwrap();
    unopened.open([]).unwrap();
    log.put([change("a", Some("1")), change("b", Some("1"))]);
    assert!(!log.flush().await);
    fs::create_dir(&path).unwrap();
    log.put([change("b", None), change("c", Some("1"))]);
    assert!(log.flush().await);
    assert_eq!(entries(&path), ["a=1", "c=1"]);
    log.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// For any truncation of the last file, the result is the state after some batch.
    #[test]
    fn a_crash_leaves_the_state_after_some_batch(
        batches in prop::collection::vec(
            prop::collection::vec((0..6u8, prop::option::of(0..100u8)), 1..5), 1..20),
        cut in 0.0..1.0f64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut files = super::Files::new(dir.path().into(), Sync::Never, Vec::new(), 0);
        let (mut state, mut states) = (BTreeMap::new(), vec![BTreeMap::new()]);
        for batch in batches {
            let changes: super::Changes = batch
                .into_iter()
                .map(|(key, value)| (format!("k{key}"), value.map(|value| value.to_string())))
                .collect();
            files.commit(&changes).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => drop(state.insert(key, value)),
                    None => drop(state.remove(&key)),
                }
            }
            states.push(state.clone());
        }
        let path = dir.path().join(super::read::file_name(0));
        if let Ok(bytes) = fs::read(&path) {
            fs::write(&path, &bytes[..(bytes.len() as f64 * cut) as usize]).unwrap();
        }
        let found = read(dir.path());
        prop_assert_eq!(found.damaged, 0);
        prop_assert!(states.iter().any(|state| found.entries == state.clone().into()));
    }
}
