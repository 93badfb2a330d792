//! The webhook: each step of a call is sent to a receiver, signed, in the order of the call.
//!
//! | file | contents |
//! |---|---|
//! | `queue` | the choice of the next event |
//! | `backoff` | the pauses after failures |
//! | `post` | the delivery of an event |

mod backoff;
mod keys;
mod post;
mod queue;
#[cfg(test)]
mod tests;

use std::{
    fmt, future,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use axum::http::Uri;
use bytes::Bytes;
use callbox_base::{
    entries::Change,
    ids::{CallId, EventId},
};
use callbox_signaling::{CallEvent, CallRecord, CallReport, Timestamp};
use futures_util::{StreamExt, stream::FuturesUnordered};
use rand::{SeedableRng, rngs::StdRng};
use serde::Serialize;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::sleep_until,
};

pub use self::{keys::WebhookKeys, queue::WebhookCounts};
use self::{
    post::Post,
    queue::{Limits, Outcome, Queue},
};
use super::{Event, kept};
use crate::{
    https::Client,
    state_log::{Found, StateLog},
};

/// The number of concurrent deliveries: a receiver that takes a tenth of a second for each gets
/// eighty a second.
const AT_ONCE: usize = 8;

/// The number of concurrent questions. Above it, calls that reach no device end as if there were no
/// webhook.
const MAX_QUESTIONS: usize = 64;

/// The largest number of events that wait, however small they are.
const MAX_EVENTS: usize = 100_000;

/// The default for the largest total weight of the events that wait, in bytes.
pub const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The settings of the webhook.
#[derive(Debug, Clone)]
pub struct Config {
    /// The receiver.
    pub url: Uri,
    /// The HTTP client.
    pub client: Client,
    /// The keys that events are signed with.
    pub keys: WebhookKeys,
    /// The largest total weight of the events that wait, in bytes.
    pub queue_bytes: usize,
}

/// An event, in the form in which it is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    /// The event's id, which is the same each time it is sent.
    id: EventId,
    event: CallEvent,
    created_at: Timestamp,
    call: &'a CallRecord,
}

/// The handle of the sending task.
pub(super) struct Webhook {
    shared: Arc<Shared>,
    ended: watch::Receiver<()>,
}

/// The sending end for events.
pub(super) struct WebhookInbox {
    shared: Arc<Shared>,
    post: Arc<Post>,
    questions: Arc<Semaphore>,
    rng: StdRng,
    /// The number of the last event that was stored.
    next_event: u64,
    overflown: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    /// The log in which events are stored until they are delivered.
    log: Option<StateLog>,
    /// Notified when an event was added, and when there will be no more.
    changed: Notify,
    closing: AtomicBool,
}

impl Shared {
    /// Removes these events from the log.
    fn forget(&self, finished: Vec<u64>) {
        if let Some(log) = self.log.as_ref().filter(|_| !finished.is_empty()) {
            log.put(finished.into_iter().map(|number| kept::event(number, None)));
        }
    }

    /// Locks the queue for its own operations, which are short.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("the queue does not panic")
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook")
    }
}

impl fmt::Debug for WebhookInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookInbox")
    }
}

impl WebhookInbox {
    fn new(shared: Arc<Shared>, post: Arc<Post>, rng: StdRng, next_event: u64) -> Self {
        let questions = Arc::new(Semaphore::new(MAX_QUESTIONS));
        Self { shared, post, questions, rng, next_event, overflown: false }
    }

    /// Creates the event of a step of a call.
    pub(super) fn prepare(&mut self, report: &CallReport, changes: &mut Vec<Change>) -> Event {
        let body = self.body(report);
        let kept = self.shared.log.is_some().then(|| {
            self.next_event += 1;
            self.next_event
        });
        if let Some(number) = kept {
            changes.push(kept::event(number, std::str::from_utf8(&body).ok()));
        }
        Event { body, kept }
    }

    /// Adds the event of a step of a call. Never waits for the receiver.
    pub(super) fn put(&mut self, call: CallId, event: Event) {
        let (before, after, finished) = {
            let mut queue = self.shared.queue();
            let before = queue.counts();
            queue.put(Instant::now(), call, event);
            (before, queue.counts(), queue.take_finished())
        };
        self.shared.forget(finished);
        let dropped = after.dropped > before.dropped;
        if dropped && !self.overflown {
            tracing::warn!("too many events wait for the webhook: the oldest calls lose theirs");
        }
        // Logged once for each time that the receiver falls behind.
        self.overflown = dropped || self.overflown && before.waiting > 0;
        self.shared.changed.notify_one();
    }

    /// Asks if a call that reaches no device should wait for one. A question is sent at once and
    /// only once: a later answer would be useless.
    pub(super) fn ask_to_hold(
        &mut self,
        report: &CallReport,
    ) -> Option<impl Future<Output = bool> + Send + use<>> {
        let permit = self.questions.clone().try_acquire_owned().ok()?;
        let (body, post) = (self.body(report), self.post.clone());
        Some(async move {
            let hold = post.ask_to_hold(body).await;
            drop(permit);
            hold
        })
    }

    fn body(&mut self, report: &CallReport) -> Bytes {
        let unix_ms = u64::try_from(report.at.0.as_millis()).unwrap_or_default();
        let event = Body {
            id: EventId::generate(unix_ms, &mut self.rng),
            event: report.event,
            created_at: report.at,
            call: &report.call,
        };
        serde_json::to_vec(&event).expect("an event has text for keys").into()
    }
}

/// Signals that there are no more events: those that wait are sent while there is time.
impl Drop for WebhookInbox {
    fn drop(&mut self) {
        self.shared.queue().hurry(Instant::now());
        self.shared.closing.store(true, Relaxed);
        self.shared.changed.notify_one();
    }
}

impl Webhook {
    /// Starts the task. With a log, events that the previous process has not delivered come first.
    pub(super) fn start(config: Config, log: Option<(&StateLog, &Found)>) -> (Self, WebhookInbox) {
        let post = Arc::new(Post::new(config.client, config.url, config.keys));
        let limits = Limits { events: MAX_EVENTS, bytes: config.queue_bytes, at_once: AT_ONCE };
        let mut queue = Queue::new(limits, StdRng::from_os_rng());
        let next_event = log.map_or(0, |(log, found)| restore(&mut queue, log, found));
        let (queue, log) = (Mutex::new(queue), log.map(|(log, _)| log.clone()));
        let closing = AtomicBool::new(false);
        let shared = Arc::new(Shared { queue, log, changed: Notify::new(), closing });
        let (ending, ended) = watch::channel(());
        let rng = StdRng::from_os_rng();
        let inbox = WebhookInbox::new(shared.clone(), post.clone(), rng, next_event);
        let task = shared.clone();
        tokio::spawn(async move {
            run(&task, &post).await;
            drop(ending);
        });
        (Self { shared, ended }, inbox)
    }

    /// Returns the counters.
    pub(super) fn counts(&self) -> WebhookCounts {
        self.shared.queue().counts()
    }

    /// Completes when all events of the inbox are sent, which must be dropped.
    pub(super) async fn finish(&self) {
        // The task reports nothing; it ends.
        let _ = self.ended.clone().changed().await;
    }
}

/// Adds the events to the queue that the previous process has not delivered. Returns the highest of
/// their numbers.
fn restore(queue: &mut Queue, log: &StateLog, found: &Found) -> u64 {
    let (mut last, mut changes) = (0, Vec::new());
    for (number, call, body) in kept::events(found) {
        changes.push(kept::event(number, Some(body)));
        let event = Event { body: Bytes::copy_from_slice(body.as_bytes()), kept: Some(number) };
        queue.put(Instant::now(), call, event);
        last = number;
    }
    if !changes.is_empty() {
        tracing::info!(events = changes.len(), "undelivered webhook events were restored");
    }
    let dropped = queue.take_finished().into_iter().map(|number| kept::event(number, None));
    log.put(changes.into_iter().chain(dropped));
    last
}

/// Sends the events that are due, until the inbox is dropped and no event waits.
async fn run(shared: &Shared, post: &Post) {
    let mut sending = FuturesUnordered::new();
    let mut failing = false;
    loop {
        let due = {
            let mut queue = shared.queue();
            while let Some((call, body)) = queue.next(Instant::now()) {
                sending.push(async move { (call, post.send(body).await) });
            }
            if queue.is_empty() && shared.closing.load(Relaxed) {
                return;
            }
            queue.next_due()
        };
        let timer = async {
            match due {
                Some(at) => sleep_until(at.into()).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            Some((call, (outcome, words))) = sending.next() => {
                let finished = {
                    let mut queue = shared.queue();
                    queue.done(Instant::now(), call, outcome);
                    queue.take_finished()
                };
                shared.forget(finished);
                log_outcome(outcome, &words, &mut failing);
            }
            () = shared.changed.notified() => {}
            () = timer => {}
        }
    }
}

/// Logs when deliveries begin to fail and when they succeed again; a receiver that is down for an
/// hour causes two lines. The address is not logged: it may contain a secret.
fn log_outcome(outcome: Outcome, words: &str, failing: &mut bool) {
    match outcome {
        Outcome::Delivered if *failing => tracing::info!("the webhook takes events again"),
        Outcome::Delivered => {}
        Outcome::Refused => tracing::warn!("the webhook refuses an event: {words}"),
        Outcome::Failed | Outcome::Down | Outcome::Busy(_) if *failing => {
            tracing::debug!("an event could not be delivered: {words}");
        }
        Outcome::Failed | Outcome::Down | Outcome::Busy(_) => {
            tracing::warn!("the webhook does not take events, they wait: {words}");
        }
    }
    if outcome != Outcome::Refused {
        *failing = outcome != Outcome::Delivered;
    }
}
