//! The file of call records: whole lines of JSON, readable by its owner only.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

use callbox_base::ids::CallId;
use serde::Deserialize;

use super::output::Output;
use crate::{
    reports::kept::{self, Position},
    state_log::{Found, Sync},
};

/// The number of bytes at the end of a file that are searched for an incomplete line: records are
/// shorter.
const TAIL: u64 = 256 * 1024;

/// The open file.
pub(super) struct RecordsFile {
    file: File,
    sync: Sync,
    /// True if a part of a line could not be removed.
    torn: bool,
}

impl RecordsFile {
    /// Opens or creates the file. An incomplete record, which a process leaves if it is killed
    /// during a write, is cut off.
    pub(super) fn open(path: &Path, sync: Sync) -> io::Result<Self> {
        let file = append(path)?;
        let torn = match end_of_lines(path) {
            Ok(Tail::Whole) => false,
            Ok(Tail::Half(len)) => {
                tracing::warn!(path = %path.display(), "half a call record is cut off");
                file.set_len(len).is_err()
            }
            // It was not written by this server, or cannot be inspected.
            Ok(Tail::Other) => true,
            Err(_) => false,
        };
        Ok(Self { file, sync, torn })
    }
}

impl Output for RecordsFile {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let before = self.file.metadata()?;
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let written = self.file.write_all(lines).and_then(|()| match self.sync {
            Sync::Always => self.file.sync_data(),
            Sync::Never => Ok(()),
        });
        if written.is_err() {
            // All of it is written again.
            self.torn = !before.is_file() || self.file.set_len(before.len()).is_err();
        }
        written
    }

    fn position(&self) -> Option<Position> {
        position(&self.file)
    }
}

/// The end of a file of lines.
#[derive(Debug, PartialEq, Eq)]
enum Tail {
    /// The last line is complete, or there is none.
    Whole,
    /// After this many bytes there is an incomplete record.
    Half(u64),
    /// There is other text.
    Other,
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn end_of_lines(path: &Path) -> io::Result<Tail> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(Tail::Whole);
    }
    let from = metadata.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let line = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    Ok(match &tail[line..] {
        [] => Tail::Whole,
        rest if is_half_a_record(rest) && (line > 0 || from == 0) => Tail::Half(from + line as u64),
        _ => Tail::Other,
    })
}

/// Returns true for the beginning of a record without the end of its line.
fn is_half_a_record(text: &[u8]) -> bool {
    const BEGINS: &[u8] = b"{\"id\":\"";
    let shorter = text.len().min(BEGINS.len());
    text[..shorter] == BEGINS[..shorter]
}

#[cfg(unix)]
fn position(file: &File) -> Option<Position> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
    Some(Position { device: metadata.dev(), inode: metadata.ino(), len: metadata.len() })
}

#[cfg(not(unix))]
fn position(file: &File) -> Option<Position> {
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
    Some(Position { len: metadata.len(), ..Position::default() })
}

/// Returns the records that the previous process has not written. It may have been killed after it
/// wrote one and before that was stored, so the end of the file is inspected.
pub(super) fn missing(path: Option<&Path>, found: &Found) -> io::Result<Vec<(CallId, String)>> {
    #[derive(Deserialize)]
    struct Record {
        id: CallId,
    }
    let mut missing: Vec<_> =
        kept::records(found).map(|(call, line)| (call, line.to_owned())).collect();
    let Some(path) = path.filter(|_| !missing.is_empty()) else { return Ok(missing) };
    let mut file = File::open(path)?;
    if let Some(now) = position(&file) {
        let is_same = |then: &Position| {
            (now.device, now.inode) == (then.device, then.inode) && now.len >= then.len
        };
        // Nothing is known of another file, nor of any file if the process was killed before it
        // could store its position.
        let from = kept::position_of(found).filter(is_same).map_or(0, |then| then.len);
        file.seek(SeekFrom::Start(from))?;
        for line in BufReader::new(file).split(b'\n') {
            if let Ok(Record { id }) = serde_json::from_slice(&line?) {
                missing.retain(|(call, _)| *call != id);
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;
    use crate::reports::testing::{call, ended};

    fn line(number: u64) -> String {
        serde_json::to_string(&ended(number).call).unwrap() + "\n"
    }

    #[test]
    fn only_an_incomplete_record_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calls.jsonl");
        let half = &line(2)[..30];
        for (there, expected) in [
            (String::new(), line(3)),
            (line(1), line(1) + &line(3)),
            (line(1) + half, line(1) + &line(3)),
            (half.to_owned(), line(3)),
            ("of somebody else".to_owned(), "of somebody else\n".to_owned() + &line(3)),
        ] {
            fs::write(&path, &there).unwrap();
            let mut file = RecordsFile::open(&path, Sync::Always).unwrap();
            file.write_lines(line(3).as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{there:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calls.jsonl");
        drop(RecordsFile::open(&path, Sync::Never).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// The process was killed between the write and its entry in the log, or before the write.
    #[test]
    fn records_in_the_file_are_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calls.jsonl");
        fs::write(&path, line(1)).unwrap();
        let file = RecordsFile::open(&path, Sync::Never).unwrap();
        let position = file.position().unwrap();
        fs::write(&path, line(1) + &line(2)).unwrap();
        // Nothing may be stored yet, and the stored position may be of another file.
        let other = Position { inode: position.inode + 1, ..position };
        for noted in [Some(position), Some(other), None] {
            let records = [(2, "two"), (3, "three")];
            let records = records.map(|(number, line)| kept::record(call(number), Some(line)));
            let changes = records.into_iter().chain(noted.iter().map(kept::position));
            let entries: BTreeMap<_, _> =
                changes.map(|change| (change.key, change.value.unwrap())).collect();
            let mut found = Found::default();
            found.entries = entries.into();
            let missing = missing(Some(&path), &found).unwrap();
            assert_eq!(missing, [(call(3), "three".to_owned())], "{noted:?}");
        }
    }
}
