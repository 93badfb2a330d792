//! The files of `--trace-dir`: one for each call that is over, written by a thread of its own.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use callbox_base::ids::CallId;

use super::{diagnosis::diagnosis, document::CallTrace};
use crate::state_dir::StateDir;

/// The number of traces that wait for the thread. Further ones are dropped: a slow disk must not
/// make the server's memory grow.
const QUEUE: usize = 64;

/// The number of files that are kept.
const MAX_FILES: usize = 10_000;

/// The end of the names of the files.
const SUFFIX: &str = ".json";

/// The thread that writes the files.
#[derive(Debug)]
pub(super) struct Files(Mutex<Option<(SyncSender<CallTrace>, JoinHandle<()>)>>);

impl Files {
    /// Makes the directory, if there is none, and starts the thread.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn start(path: PathBuf) -> io::Result<Self> {
        let dir = Directory::open(path, MAX_FILES)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || write_all(dir, &receiver))?;
        Ok(Self(Mutex::new(Some((sender, thread)))))
    }

    /// Writes a trace, some time later.
    pub(super) fn write(&self, trace: CallTrace) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((sender, _)) = &*thread else { return };
        if let Err(TrySendError::Full(trace)) = sender.try_send(trace) {
            tracing::warn!(call = %trace.call_id, "a trace is not written: the disk is too slow");
        }
    }

    /// Waits until all traces are written. Later ones are dropped.
    pub(super) fn finish(&self) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = thread {
            drop(sender);
            // It has said so, if it panicked.
            let _ = thread.join();
        }
    }
}

fn write_all(mut dir: Directory, traces: &Receiver<CallTrace>) {
    for trace in traces {
        let call = trace.call_id;
        if let Err(error) = dir.write(trace) {
            tracing::warn!(%call, %error, "a trace cannot be written");
        }
    }
}

/// The directory, with the names of its traces.
struct Directory {
    dir: StateDir,
    path: PathBuf,
    /// The names of the files, the oldest first: a name begins with the time of its call.
    names: VecDeque<String>,
    max_files: usize,
}

impl Directory {
    fn open(path: PathBuf, max_files: usize) -> io::Result<Self> {
        let dir = StateDir::open(path.clone())?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&path)? {
            if let Ok(name) = entry?.file_name().into_string()
                && is_trace(&name)
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(Self { dir, path, names: names.into(), max_files })
    }

    fn write(&mut self, mut trace: CallTrace) -> io::Result<()> {
        let name = self.name(trace.call_id);
        trace.diagnosis = diagnosis(&trace);
        let mut text = serde_json::to_vec(&trace)?;
        text.push(b'\n');
        self.dir.write(&name, &text)?;
        self.names.push_back(name);
        while self.names.len() > self.max_files
            && let Some(oldest) = self.names.pop_front()
        {
            self.dir.remove(&oldest)?;
        }
        Ok(())
    }

    /// Returns a name that is free: a call that outlives its server has a trace of each.
    fn name(&self, call: CallId) -> String {
        let is_free = |name: &String| !Path::new(&self.path).join(name).exists();
        let first = format!("{call}{SUFFIX}");
        let others = (2..1000).map(|n| format!("{call}-{n}{SUFFIX}"));
        std::iter::once(first.clone()).chain(others).find(is_free).unwrap_or(first)
    }
}

/// Returns true for the name of a trace. Other files in the directory are left alone.
fn is_trace(name: &str) -> bool {
    let call =
        name.strip_suffix(SUFFIX).map(|name| name.split_once('-').map_or(name, |(id, _)| id));
    call.is_some_and(|call| call.parse::<CallId>().is_ok())
}

#[cfg(test)]
mod tests {
    use callbox_signaling::Timestamp;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn trace(n: u64) -> CallTrace {
        CallTrace {
            call_id: CallId::generate(n, &mut StdRng::seed_from_u64(n)),
            started_at: Timestamp(std::time::Duration::ZERO),
            is_over: true,
            users: Vec::new(),
            diagnosis: String::new(),
            omitted: 0,
            steps: Vec::new(),
        }
    }

    fn names(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_files_make_room_and_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("traces");
        let name = |n| format!("{}.json", trace(n).call_id);
        let mut open = Directory::open(path.clone(), 2).unwrap();
        fs::write(path.join("notes.json"), "mine").unwrap();
        open.write(trace(1)).unwrap();
        open.write(trace(2)).unwrap();
        // Another server goes on.
        let mut open = Directory::open(path.clone(), 2).unwrap();
        open.write(trace(3)).unwrap();
        let mut expected = [name(2), name(3), "notes.json".to_owned()];
        expected.sort();
        assert_eq!(names(&path), expected);
    }

    #[test]
    fn a_call_that_outlives_its_server_has_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut open = Directory::open(dir.path().to_owned(), 9).unwrap();
        open.write(trace(1)).unwrap();
        open.write(trace(1)).unwrap();
        let call = trace(1).call_id;
        let mut expected = [format!("{call}.json"), format!("{call}-2.json")];
        expected.sort();
        assert_eq!(names(dir.path()), expected);
        assert_eq!(Directory::open(dir.path().to_owned(), 9).unwrap().names.len(), 2);
    }

    #[test]
    fn the_thread_writes_what_waits_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::start(dir.path().to_owned()).unwrap();
        (1..6).for_each(|n| files.write(trace(n)));
        files.finish();
        files.write(trace(9));
        assert_eq!(names(dir.path()).len(), 5);
        let name = format!("{}.json", trace(1).call_id);
        let text = fs::read_to_string(dir.path().join(name)).unwrap();
        let read: CallTrace = serde_json::from_str(&text).unwrap();
        assert_eq!(read.call_id, trace(1).call_id);
    }
}
