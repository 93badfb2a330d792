//! The times at which calls begin: at a fixed rate, whatever becomes of those before.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, mpsc};

/// The calls that are due, each as the moment at which it was to begin. Waiters get them in the
/// order in which they came.
#[derive(Clone)]
pub(super) struct Due(Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>);

impl Due {
    /// Waits for the next call; returns `None` once all have been taken.
    pub(super) async fn next(&self) -> Option<Instant> {
        self.0.lock().await.recv().await
    }
}

/// Returns how many calls begin at a rate.
pub(super) fn count(rate: u64, duration: Duration) -> u64 {
    ((duration.as_secs_f64() * rate as f64) as u64).max(1)
}

/// Lets calls be due from now on, by a thread of its own: the timers of the runtime are whole
/// milliseconds, in which several calls may begin.
pub(super) fn start(rate: u64, duration: Duration) -> (Due, JoinHandle<()>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let started = Instant::now();
    let thread = thread::spawn(move || {
        for number in 0..count(rate, duration) {
            let at = started + Duration::from_secs_f64(number as f64 / rate as f64);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if sender.send(at).is_err() {
                return;
            }
        }
    });
    (Due(Arc::new(Mutex::new(receiver))), thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_due_at_their_rate_however_late_they_are_taken() {
        let (due, thread) = start(1000, Duration::from_millis(10));
        thread.join().unwrap();
        let first = due.next().await.unwrap();
        for number in 1..10 {
            assert_eq!(due.next().await, Some(first + Duration::from_millis(number)));
        }
        assert_eq!(due.next().await, None);
    }
}
