//! The times of orders and of retries.

use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use super::{Acme, date, error::OrderError, order};
use crate::acceptor::current::Current;

/// The factor by which each pause is longer than the one before.
const GROWTH: u32 = 4;

/// The longest regular pause: four tries a day.
const MAX_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// The longest pause that a CA can ask for. A week is the widest window of its limits.
const MAX_ASKED: Duration = Duration::from_secs(7 * 86400);

/// The longest time that an order may take in all.
const ORDER: Duration = Duration::from_secs(300);

/// The longest time of one sleep: the clock may be set, and the machine may be suspended.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Orders a certificate whenever one is due, until dropped. The certificate that is shown is
/// replaced; open connections keep theirs.
pub(super) async fn run(acme: &Acme, current: &Current) {
    let domains = acme.domains().join(" ");
    let directory = acme.directory();
    let mut failures = 0;
    loop {
        if let Some(validity) = current.get().validity {
            until(validity.renewal()).await;
        }
        tracing::info!(domains, directory, "ordering a certificate");
        let ordered = timeout(ORDER, order::obtain(acme)).await;
        match ordered.unwrap_or_else(|_| Err(OrderError::Slow(ORDER))) {
            Ok(pair) => {
                let validity = pair.validity.map(|it| (date(it.until), date(it.renewal())));
                let (until, renewal) = validity.unzip();
                current.set(pair);
                failures = 0;
                tracing::info!(domains, until, renewal, "a new certificate is shown");
                // Even if certificates have a very short lifetime, the CA is not asked all the
                // time.
                sleep(acme.retry()).await;
            }
            Err(error) => {
                let retry_after = acme.take_not_before();
                let pause = pause(acme.retry(), failures, retry_after, SystemTime::now());
                failures = failures.saturating_add(1);
                log_failure(&error, failures, pause, current);
                tokio::select! {
                    () = sleep(pause) => {}
                    () = acme.hurried() => {}
                }
            }
        }
    }
}

/// Returns the pause after a failure: longer each time, and at least as long as the CA asks for.
fn pause(
    first: Duration,
    failures: u32,
    retry_after: Option<SystemTime>,
    now: SystemTime,
) -> Duration {
    let own = first.saturating_mul(GROWTH.saturating_pow(failures)).min(MAX_PAUSE.max(first));
    let retry_after = retry_after.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
    own.max(retry_after.min(MAX_ASKED))
}

/// Logs each failure in one line, with the certificate that is shown meanwhile. It is an error once
/// no valid one is.
fn log_failure(error: &OrderError, failures: u32, pause: Duration, current: &Current) {
    let again_in = humantime::format_duration(Duration::from_secs(pause.as_secs())).to_string();
    let validity = current.get().validity;
    match validity.filter(|validity| validity.holds(SystemTime::now())) {
        Some(validity) => {
            let until = date(validity.until);
            tracing::warn!(%error, failures, again_in, until, "no new certificate; the old one stays");
        }
        None => tracing::error!(%error, failures, again_in, "no certificate"),
    }
}

/// Completes when the clock has reached this time.
async fn until(at: SystemTime) {
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK_AGAIN)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_grow_and_are_bounded() {
        let now = SystemTime::now();
        let pause = |failures| pause(MINUTE, failures, None, now);
        assert_eq!([0, 1, 2, 3].map(pause), [1, 4, 16, 64].map(|minutes| minutes * MINUTE));
        assert_eq!([5, 32, u32::MAX].map(pause), [MAX_PAUSE; 3]);
    }

    #[test]
    fn a_ca_is_not_asked_before_its_retry_time() {
        let now = SystemTime::now();
        let pause = |retry_after| pause(MINUTE, 0, Some(retry_after), now);
        assert_eq!(pause(now + 90 * MINUTE), 90 * MINUTE);
        assert_eq!(pause(now + 1000 * MAX_ASKED), MAX_ASKED);
        assert_eq!(pause(now + MINUTE / 2), MINUTE);
        assert_eq!(pause(now - MINUTE), MINUTE);
    }

    #[test]
    fn a_pause_that_was_configured_longer_is_kept() {
        let first = 2 * MAX_PAUSE;
        assert_eq!(pause(first, 3, None, SystemTime::now()), first);
    }
}
