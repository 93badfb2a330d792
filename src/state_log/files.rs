//! The files of a log: batches are appended to the newest, and the oldest is compacted into it when
//! too many of the entries are out of date.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Sync, line, read};
use crate::state_dir::create;

/// The length of a file, in bytes. Compacting one delays the next batch, so it is short.
const FILE_LEN: u64 = 4 * 1024 * 1024;

/// The number of bytes below which nothing is compacted.
const SMALL: u64 = 4 * FILE_LEN;

/// The largest ratio of all bytes to those that are up to date, above that.
const GARBAGE: u64 = 3;

/// The changes to write: the latest value of each key, or `None` for one that is removed.
pub(super) type Changes = BTreeMap<String, Option<String>>;

/// The files that this process has written.
pub(super) struct Files {
    directory: PathBuf,
    sync: Sync,
    /// The oldest first.
    files: VecDeque<LogFile>,
    next: u64,
    /// The entry of each key: the number of its file, and the offset in it.
    index: HashMap<Arc<str>, (u64, u64)>,
    /// The files of the previous process, each with true if it is to be set aside. They are removed
    /// with the first batch, which contains everything of them that still holds.
    older: Vec<(PathBuf, bool)>,
}

struct LogFile {
    number: u64,
    path: PathBuf,
    file: File,
    len: u64,
    /// The entries that are up to date, by offset, each with its length.
    live: BTreeMap<u64, (Arc<str>, u64)>,
    live_len: u64,
    /// True if nothing more is written to it, since a write has failed.
    sealed: bool,
}

impl Files {
    pub(super) fn new(
        directory: PathBuf,
        sync: Sync,
        older: Vec<(PathBuf, bool)>,
        next: u64,
    ) -> Self {
        let (files, index) = Default::default();
        Self { directory, sync, files, next, index, older }
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// The system's error; nothing of the batch counts then.
    pub(super) fn commit(&mut self, changes: &Changes) -> io::Result<()> {
        // A key that is in no file needs no removal. After a failed write, the contents of the file
        // are unknown.
        let has_older = !self.older.is_empty() || self.files.iter().any(|file| file.sealed);
        let needed = |(key, value): &(&String, &Option<String>)| {
            has_older || value.is_some() || self.index.contains_key(key.as_str())
        };
        let changes: Vec<_> = changes.iter().filter(needed).collect();
        let (mut bytes, mut spans) = (Vec::new(), Vec::with_capacity(changes.len()));
        for (at, (key, value)) in changes.iter().enumerate() {
            let start = bytes.len() as u64;
            line::write(&mut bytes, key, value.as_deref(), at + 1 == changes.len());
            let len = bytes.len() as u64 - start;
            spans.push((key.as_str(), value.is_some().then_some((start, len))));
        }
        if !bytes.is_empty() {
            let start = self.append(&bytes)?;
            for (key, span) in spans {
                self.note(key, span.map(|(at, len)| (start + at, len)));
            }
        }
        self.retire();
        Ok(())
    }

    /// Appends bytes to the newest file, or to a new one; returns their offset.
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        if self.files.back().is_none_or(|file| file.sealed || file.len >= FILE_LEN) {
            self.begin_file()?;
        }
        let file = self.files.back_mut().expect("there is one now");
        let start = file.len;
        let written = file.file.write_all(bytes).and_then(|()| match self.sync {
            Sync::Always => file.file.sync_data(),
            Sync::Never => Ok(()),
        });
        if let Err(error) = written {
            // No partial batch may stand before later ones.
            let _ = file.file.set_len(start);
            file.sealed = true;
            return Err(error);
        }
        file.len += bytes.len() as u64;
        Ok(start)
    }

    fn begin_file(&mut self) -> io::Result<()> {
        let path = self.directory.join(read::file_name(self.next));
        let file = create(&path)?;
        if self.sync == Sync::Always {
            File::open(&self.directory)?.sync_all()?;
        }
        let number = self.next;
        self.next += 1;
        let (live, live_len) = Default::default();
        self.files.push_back(LogFile { number, path, file, len: 0, live, live_len, sealed: false });
        Ok(())
    }

    /// Records that the entry of a key is in the newest file at this offset, or was removed.
    fn note(&mut self, key: &str, span: Option<(u64, u64)>) {
        let before = self.index.remove_entry(key);
        if let Some((_, (number, at))) = &before
            && let Some(file) = self.files.iter_mut().find(|file| file.number == *number)
            && let Some((_, len)) = file.live.remove(at)
        {
            file.live_len -= len;
        }
        let Some((at, len)) = span else { return };
        let key: Arc<str> = before.map_or_else(|| key.into(), |(key, _)| key);
        let file = self.files.back_mut().expect("it was just written to");
        file.live.insert(at, (key.clone(), len));
        file.live_len += len;
        self.index.insert(key, (file.number, at));
    }

    /// Removes the files of the previous process, and sets aside those that could not be read.
    fn retire(&mut self) {
        for (path, set_aside) in self.older.drain(..) {
            let result = if set_aside {
                let aside = path.with_extension("unreadable");
                tracing::warn!(path = %aside.display(), "what cannot be read was set aside");
                fs::rename(&path, aside)
            } else {
                fs::remove_file(&path)
            };
            if let Err(error) = result {
                tracing::warn!(path = %path.display(), %error, "an old state file cannot be removed");
            }
        }
    }

    /// Compacts the oldest file into the newest if too much is out of date. Returns true if there
    /// may be more to do.
    ///
    /// # Errors
    /// The system's error; everything is as before then.
    pub(super) fn tidy(&mut self) -> io::Result<bool> {
        let len: u64 = self.files.iter().map(|file| file.len).sum();
        let live: u64 = self.files.iter().map(|file| file.live_len).sum();
        if self.files.len() < 2 || len < SMALL.max(GARBAGE * live) {
            return Ok(false);
        }
        let oldest = &self.files[0];
        let mut moved = Vec::new();
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        if !oldest.live.is_empty() {
            let text = fs::read(&oldest.path)?;
            for (at, (_, len)) in &oldest.live {
                let line = text.get(*at as usize..(at + len - 1) as usize);
                let entry = line.and_then(line::read);
                // An entry that is damaged by now is left in its file, which is kept.
                moved.push(entry.ok_or(io::ErrorKind::InvalidData)?.change);
            }
        }
        for (at, change) in moved.iter().enumerate() {
            let start = bytes.len() as u64;
            let ends_batch = at + 1 == moved.len();
            line::write(&mut bytes, &change.key, change.value.as_deref(), ends_batch);
            spans.push((start, bytes.len() as u64 - start));
        }
        if !bytes.is_empty() {
            let start = self.append(&bytes)?;
            for (change, (at, len)) in moved.iter().zip(spans) {
                self.note(&change.key, Some((start + at, len)));
            }
        }
        let oldest = self.files.pop_front().expect("there are two at least");
        fs::remove_file(&oldest.path)?;
        Ok(true)
    }

    /// Syncs everything to the disk.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| {
            // The files of a removed directory can still be written to.
            file.path.metadata()?;
            file.file.sync_all()
        })?;
        sync_directory(&self.directory)
    }

    /// Removes every file.
    pub(super) fn discard(&mut self) {
        let own = self.files.drain(..).map(|file| file.path);
        for path in own.chain(self.older.drain(..).map(|(path, _)| path)) {
            let _ = fs::remove_file(path);
        }
        self.index.clear();
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outdated_entries_are_removed_and_current_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path().to_owned(), Sync::Never, Vec::new(), 0);
        let value = |n: u32| Some(format!("\"{n}{}\"", "x".repeat(10_000)));
        files.commit(&Changes::from([("first".into(), value(0))])).unwrap();
        for n in 0..20_000u32 {
            let mut changes = Changes::from([(format!("key/{}", n % 50), value(n))]);
            if n >= 100 {
                changes.insert(format!("once/{}", n - 100), None);
            }
            changes.insert(format!("once/{n}"), Some("1".into()));
            files.commit(&changes).unwrap();
            while files.tidy().unwrap() {}
        }
        let len: u64 = files.files.iter().map(|file| file.len).sum();
        assert!(len < SMALL + 2 * FILE_LEN, "{len} bytes");
        assert_eq!(files.index.len(), 1 + 50 + 100);
        let found = read::read(dir.path()).unwrap();
        assert_eq!((found.damaged, found.entries.len()), (0, 1 + 50 + 100));
        assert_eq!(found.entries.get("first"), value(0).as_deref());
        for n in 19_950..20_000 {
            assert_eq!(found.entries.get(&format!("key/{}", n % 50)), value(n).as_deref());
        }
    }
}
