//! Persistent files, readable by their owner only, replaced as a whole or not at all.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A directory for such files.
#[derive(Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Creates the directory if it does not exist, and checks that it can be written to.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let state = Self(path);
        make_directory(&state.0)?;
        let probe = "probe";
        state.write(probe, b"")?;
        state.remove(probe)?;
        Ok(state)
    }

    /// Locks the directory for this process, as long as the result is kept.
    ///
    /// # Errors
    /// The system's error, and [`io::ErrorKind::ResourceBusy`] if another process has it.
    pub fn lock(&self) -> io::Result<File> {
        let path = self.path("lock");
        let file = match create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                File::options().write(true).open(&path)?
            }
            created => created?,
        };
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let message = "another server that runs uses it";
                Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the path of a file, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the contents of a file, if it exists.
    ///
    /// # Errors
    /// The system's error.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file. After a crash either the old one or the new one exists.
    ///
    /// # Errors
    /// The system's error; the old file still exists then.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Another process that writes at the same time has a temporary file of its own.
        let temporary = self.path(&format!(".{name}.{}", std::process::id()));
        // A file that a process with this id left behind may have other permissions.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path(name))
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        // The new name is persistent once its directory is synced.
        File::open(&self.0)?.sync_all()
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// The system's error.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Creates a file that nobody else can read at any time.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "account.json";

    #[test]
    fn a_file_is_replaced_as_a_whole_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path().join("new")).unwrap();
        assert_eq!(state.read(FILE).unwrap(), None);
        state.write(FILE, b"one").unwrap();
        // A file that a crash left behind does not matter.
        let left = state.path(&format!(".{FILE}.{}", std::process::id()));
        fs::write(left, b"half of something").unwrap();
        state.write(FILE, b"two").unwrap();
        assert_eq!(state.read(FILE).unwrap().as_deref(), Some(&b"two"[..]));
        let names: Vec<_> =
            fs::read_dir(&state.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&state.path(FILE)), 0o600);
            assert_eq!(mode(&state.0), 0o700);
        }
        state.remove(FILE).unwrap();
        state.remove(FILE).unwrap();
        assert_eq!(state.read(FILE).unwrap(), None);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(StateDir::open(file.join("below")).is_err());
    }
}
