//! The webhook: each step of a call is sent to a receiver, signed, in the order of the call.
//!
//! | file | what lives there |
//! |---|---|
//! | `queue` | which event is sent next |
//! | `backoff` | how long to wait after failures |
//! | `post` | how an event is sent |

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

/// Deliveries at once: a receiver that takes a tenth of a second for each gets eighty a second.
const AT_ONCE: usize = 8;

/// Questions at once. Past it, calls that reach no device end as if there were no webhook.
const MAX_QUESTIONS: usize = 64;

/// Events that wait at most, however small they are.
const MAX_EVENTS: usize = 100_000;

/// What events that wait weigh together at most by default, in bytes.
pub const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The settings of the webhook.
#[derive(Debug, Clone)]
pub struct Config {
    /// The receiver.
    pub url: Uri,
    /// What asks it.
    pub client: Client,
    /// What events are signed with.
    pub keys: WebhookKeys,
    /// What events that wait may weigh together, in bytes.
    pub queue_bytes: usize,
}

/// An event, as it is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    /// The same each time it is sent.
    id: EventId,
    event: CallEvent,
    created_at: Timestamp,
    call: &'a CallRecord,
}

/// The task that sends.
pub(super) struct Webhook {
    shared: Arc<Shared>,
    ended: watch::Receiver<()>,
}

/// Where events are handed over.
pub(super) struct WebhookInbox {
    shared: Arc<Shared>,
    post: Arc<Post>,
    questions: Arc<Semaphore>,
    rng: StdRng,
    /// The number of the next event that is kept.
    next_event: u64,
    overflown: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Where events are kept until they are delivered.
    log: Option<StateLog>,
    /// Told when something was put in, and when nothing will be any more.
    changed: Notify,
    closing: AtomicBool,
}

impl Shared {
    /// Nothing of these events is kept any more.
    fn forget(&self, finished: Vec<u64>) {
        if let Some(log) = self.log.as_ref().filter(|_| !finished.is_empty()) {
            log.put(finished.into_iter().map(|number| kept::event(number, None)));
        }
    }

    /// Held for what the queue does alone, which is a few steps.
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

    /// Makes the event of a step of a call.
    pub fn prepare(&mut self, report: &CallReport, changes: &mut Vec<Change>) -> Event {
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

    /// Takes the event of a step of a call. Never waits for the receiver.
    pub fn put(&mut self, call: CallId, event: Event) {
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
        // Once for each time that the receiver falls behind.
        self.overflown = dropped || self.overflown && before.waiting > 0;
        self.shared.changed.notify_one();
    }

    /// Asks whether a call that reaches no device is to wait for one. A question is sent at once and
    /// once: what is answered later does not matter any more.
    pub fn ask_to_hold(
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

/// No more events will come: those that wait are sent while there is time.
impl Drop for WebhookInbox {
    fn drop(&mut self) {
        self.shared.queue().hurry(Instant::now());
        self.shared.closing.store(true, Relaxed);
        self.shared.changed.notify_one();
    }
}

impl Webhook {
    /// Starts the task. With a log, events that the process before this one has not delivered come first.
    pub fn start(config: Config, log: Option<(&StateLog, &Found)>) -> (Self, WebhookInbox) {
        let post = Arc::new(Post::new(config.client, config.url, config.keys));
        let limits = Limits { events: MAX_EVENTS, bytes: config.queue_bytes, at_once: AT_ONCE };
        let mut queue = Queue::new(limits, StdRng::from_os_rng());
        let next_event = log.map_or(0, |(log, found)| go_on(&mut queue, log, found));
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

    /// What became of events so far.
    pub fn counts(&self) -> WebhookCounts {
        self.shared.queue().counts()
    }

    /// Returns when all is sent that was put into the inbox, which must be dropped.
    pub async fn finish(&self) {
        // The task says nothing; it ends.
        let _ = self.ended.clone().changed().await;
    }
}

/// Puts the events into the queue that the process before this one has not delivered. Gives the highest
/// of their numbers.
fn go_on(queue: &mut Queue, log: &StateLog, found: &Found) -> u64 {
    let (mut last, mut changes) = (0, Vec::new());
    for (number, call, body) in kept::events(found) {
        changes.push(kept::event(number, Some(body)));
        let event = Event { body: Bytes::copy_from_slice(body.as_bytes()), kept: Some(number) };
        queue.put(Instant::now(), call, event);
        last = number;
    }
    if !changes.is_empty() {
        tracing::info!(events = changes.len(), "events go on that were not delivered before");
    }
    let dropped = queue.take_finished().into_iter().map(|number| kept::event(number, None));
    log.put(changes.into_iter().chain(dropped));
    last
}

/// Sends what is due, until the inbox is dropped and nothing waits any more.
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
                tell(outcome, &words, &mut failing);
            }
            () = shared.changed.notified() => {}
            () = timer => {}
        }
    }
}

/// Logs when deliveries begin to fail and when they go well again; a receiver that is down for an hour
/// is two lines. The address is not logged: it may have a secret in it.
fn tell(outcome: Outcome, words: &str, failing: &mut bool) {
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
