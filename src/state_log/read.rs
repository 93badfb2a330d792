//! The reading of a log at the start.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use callbox_base::entries::Entries;

use super::line;

/// The state that the previous process has left.
#[derive(Debug, Default)]
pub struct Found {
    /// The latest value of each key.
    pub entries: Entries,
    /// The number of entries that could not be read.
    pub damaged: usize,
    /// The files, each with true if it is to be set aside, since something in it is unreadable.
    pub(super) files: Vec<(PathBuf, bool)>,
    /// The number of the next file.
    pub(super) next: u64,
}

/// Returns the number in a file's name, if it is one of the log's.
pub(super) fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let number = name.strip_prefix("calls-")?.strip_suffix(".log")?.parse().ok()?;
    // Another spelling of a number would hide the file that has it, and after the last number there
    // is none for the next file.
    (number < u64::MAX && file_name(number) == name).then_some(number)
}

/// Returns the name of the file with this number.
pub(super) fn file_name(number: u64) -> String {
    format!("calls-{number:010}.log")
}

/// Reads every file of a directory, the oldest first.
///
/// # Errors
/// The system's error if the directory cannot be listed. A file that cannot be read is set aside.
pub(super) fn read(directory: &Path) -> io::Result<Found> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(number) = number(&path) {
            files.insert(number, path);
        }
    }
    let mut found = Found::default();
    for (number, path) in files {
        found.next = number + 1;
        let damaged = match fs::read(&path) {
            Ok(bytes) => found.take(&bytes),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file of calls cannot be read");
                1
            }
        };
        found.damaged += damaged;
        found.files.push((path, damaged > 0));
    }
    Ok(found)
}

impl Found {
    /// Adds the entries of one file; returns the number of damaged ones.
    ///
    /// A process that is killed leaves a batch without its end, perhaps followed by an incomplete
    /// line: nobody has been told of its contents, so it is dropped. A complete line that is
    /// damaged was written once, and so were those before it.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut damaged = 0;
        let mut batch = Vec::new();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let ends_batch = match line::read(&line[..line.len() - 1]) {
                Some(entry) => {
                    batch.push(entry.change);
                    entry.ends_batch
                }
                None => {
                    damaged += 1;
                    true
                }
            };
            if ends_batch {
                batch.drain(..).for_each(|change| self.entries.apply(change));
            }
        }
        damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(to: &mut Vec<u8>, entries: &[(&str, Option<&str>)]) {
        for (at, (key, value)) in entries.iter().enumerate() {
            line::write(to, key, *value, at + 1 == entries.len());
        }
    }

    fn found(bytes: &[u8]) -> (Vec<String>, usize) {
        let mut found = Found::default();
        let damaged = found.take(bytes);
        let entries = found.entries.iter().map(|(key, value)| format!("{key}={value}"));
        (entries.collect(), damaged)
    }

    #[test]
    fn a_file_of_another_name_is_not_taken_for_one_of_the_log() {
        let number = |name: &str| number(Path::new(name));
        assert_eq!(number("calls-0000000007.log"), Some(7));
        assert_eq!(number("calls-18446744073709551614.log"), Some(u64::MAX - 1));
        for name in ["calls-7.log", "calls-+000000007.log", "calls-18446744073709551615.log"] {
            assert_eq!(number(name), None, "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Vec::new();
        batch(&mut kept, &[("a", Some("1"))]);
        fs::write(dir.path().join(file_name(7)), kept).unwrap();
        fs::write(dir.path().join("calls-7.log"), "of somebody else").unwrap();
        let found = read(dir.path()).unwrap();
        assert_eq!((found.entries.len(), found.damaged, found.next), (1, 0, 8));
    }

    #[test]
    fn a_batch_counts_as_a_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        batch(&mut bytes, &[("a", Some("1")), ("b", Some("1"))]);
        let first = bytes.len();
        batch(&mut bytes, &[("a", Some("2")), ("b", None), ("c", Some("2"))]);
        for len in first..bytes.len() {
            assert_eq!(found(&bytes[..len]), (vec!["a=1".into(), "b=1".into()], 0), "{len} bytes");
        }
        assert_eq!(found(&bytes), (vec!["a=2".into(), "c=2".into()], 0));
    }

    #[test]
    fn one_damaged_entry_loses_only_that_entry() {
        let mut bytes = Vec::new();
        batch(&mut bytes, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]);
        batch(&mut bytes, &[("d", Some("1"))]);
        let ends: Vec<_> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').collect();
        for (number, gone) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let mut damaged = bytes.clone();
            damaged[ends[number].0 - 1] ^= 1;
            let left: Vec<_> =
                ["a", "b", "c", "d"].into_iter().filter(|key| *key != gone).collect();
            let left: Vec<_> = left.iter().map(|key| format!("{key}=1")).collect();
            assert_eq!(found(&damaged), (left, 1), "{gone}");
        }
    }
}
