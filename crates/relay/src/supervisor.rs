//! Supervision of a worker that ends without being told to: it is logged, and reported to whoever
//! watches the relay. Its clients are lost, and no other worker can take them over.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tokio::sync::watch;

/// Runs a worker to its end; sets `lost` if it ends without being told to.
pub(super) fn run(
    worker: usize,
    work: impl FnOnce() -> io::Result<()>,
    lost: &watch::Sender<bool>,
) {
    // The state of a worker is not used after it has panicked.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => tracing::error!(worker, %error, "a relay worker cannot go on"),
        Err(_) => tracing::error!(worker, "a relay worker has panicked"),
    }
    lost.send_replace(true);
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File, sync::Arc};

    use super::*;

    /// Returns the log and the value of `lost` after a worker has ended in this way.
    fn after(work: impl FnOnce() -> io::Result<()>) -> (String, bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let writer = Arc::new(File::create(&path).unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        let (lost, is_lost) = watch::channel(false);
        tracing::subscriber::with_default(subscriber, || run(7, work, &lost));
        (fs::read_to_string(path).unwrap(), *is_lost.borrow())
    }

    #[test]
    fn only_an_unexpected_end_is_logged_and_reported() {
        assert_eq!(after(|| Ok(())), (String::new(), false));
        let (log, lost) = after(|| panic!("a bug"));
        assert!(log.contains("ERROR") && log.contains("has panicked worker=7"), "{log}");
        assert!(lost);
        let (log, lost) = after(|| Err(io::ErrorKind::OutOfMemory.into()));
        assert!(log.contains("ERROR") && log.contains("error=out of memory"), "{log}");
        assert!(lost);
    }
}
