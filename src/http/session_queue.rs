//! The bounded queue of messages for a session's connection, between the hub's task, which never
//! waits for a client, and the connection.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Instant,
};

use callbox_signaling::{Answer, CloseReason, Event, JsonText, MAX_REPLAY, RequestId};

/// The largest number of messages that wait for a session's connection. It is many times a burst of
/// candidates; a client with more does not read.
const MAX_MESSAGES: usize = 2 * MAX_REPLAY;

/// The weight of a message besides its payload.
const MESSAGE_WEIGHT: usize = 32;

/// A message to a session's client.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The first message.
    Welcome(JsonText),
    /// An event, and its number if the session can be resumed.
    Event(Event, Option<u64>),
    /// The answer to a request.
    Answer(RequestId, Answer),
    /// The last message: the hub has closed the session.
    Close(CloseReason),
}

impl Delivery {
    /// Returns the approximate number of bytes that it keeps in memory.
    fn weight(&self) -> usize {
        MESSAGE_WEIGHT
            + match self {
                Self::Welcome(data) => data.weight(),
                Self::Event(event, _) => event.data.weight(),
                Self::Answer(_, answer) => answer.0.weight(),
                Self::Close(_) => 0,
            }
    }
}

/// The slots for messages that a queue keeps while nothing waits.
const KEPT_SLOTS: usize = 4;

/// The deliveries that wait for a session: one lock and one allocation, since most queues are no
/// longer in the cache when something arrives.
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Delivery>,
    weight: usize,
    end: Option<End>,
    /// The time for which a test wants nothing to be sent or read, if it wants that.
    silence: Option<Silence>,
    /// Wakes the connection's task.
    front: Option<Waker>,
}

/// The end of a silence: a time, or `None` for no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Silence(Option<Instant>);

/// The end of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has overflowed: the waiting messages are not sent any more.
    Cut,
    /// A test wants the connection to be closed without a word.
    Severed,
    /// The hub has dropped its end: the waiting messages are the last.
    NoMore,
    /// The connection is gone.
    Unread,
}

impl Waiting {
    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Delivery>> {
        if self.is_cut() || self.silence.is_some() {
            return Poll::Ready(None);
        }
        match self.next() {
            None if self.end.is_none() => {
                self.wait(cx);
                Poll::Pending
            }
            next => Poll::Ready(next),
        }
    }

    /// Returns true if the waiting messages are not sent any more.
    fn is_cut(&self) -> bool {
        matches!(self.end, Some(End::Cut | End::Severed))
    }

    fn next(&mut self) -> Option<Delivery> {
        if self.silence.is_some() {
            return None;
        }
        let next = self.messages.pop_front()?;
        self.weight -= next.weight();
        if self.messages.is_empty() {
            self.messages.shrink_to(KEPT_SLOTS);
        }
        Some(next)
    }

    /// Registers the connection's task to be woken when there is something new.
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.front {
            Some(front) => front.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

type Shared = Arc<Mutex<Waiting>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Waiting> {
    shared.lock().expect("nothing panics with it")
}

/// The hub's end of a session.
#[derive(Debug)]
pub(super) struct Outlet {
    shared: Shared,
    budget: usize,
}

/// The connection's end of a session.
#[derive(Debug)]
pub(super) struct Inlet {
    shared: Shared,
}

/// The error of a queue without room: its client does not read.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Outlet {
    /// Adds a message to the queue; it is discarded if the connection is gone. A lone message
    /// always fits, however long it is.
    pub(super) fn put(&self, delivery: Delivery) -> Result<(), TooSlow> {
        let weight = delivery.weight();
        let mut waiting = lock(&self.shared);
        if waiting.end.is_some() {
            return Ok(());
        }
        let is_over = waiting.weight.saturating_add(weight) > self.budget;
        if waiting.messages.len() == MAX_MESSAGES || (is_over && !waiting.messages.is_empty()) {
            return Err(TooSlow);
        }
        waiting.weight += weight;
        waiting.messages.push_back(delivery);
        self.wake(waiting);
        Ok(())
    }

    /// Cuts the session off: the waiting messages are not sent any more.
    pub(super) fn cut(self) {
        let mut waiting = lock(&self.shared);
        waiting.end.get_or_insert(End::Cut);
        self.wake(waiting);
    }

    /// Has the connection closed without a word.
    pub(super) fn sever(&self) {
        let mut waiting = lock(&self.shared);
        waiting.end.get_or_insert(End::Severed);
        self.wake(waiting);
    }

    /// Has nothing read from the connection or sent to it until this time, or until the silence is
    /// ended.
    pub(super) fn silence(&self, until: Option<Instant>) {
        let mut waiting = lock(&self.shared);
        waiting.silence = Some(Silence(until));
        self.wake(waiting);
    }

    /// Ends a silence.
    pub(super) fn end_silence(&self) {
        let mut waiting = lock(&self.shared);
        if waiting.silence.take().is_some() {
            self.wake(waiting);
        }
    }

    /// Wakes the connection's task, once: it registers again.
    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let front = waiting.front.take();
        drop(waiting);
        if let Some(front) = front {
            front.wake();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut waiting = lock(&self.shared);
        if waiting.end.is_none() {
            waiting.end = Some(End::NoMore);
            self.wake(waiting);
        }
    }
}

impl Inlet {
    /// Waits for the next message; returns `None` once the queue has ended, and during a silence. May be cancelled without loss.
    pub(super) async fn recv(&mut self) -> Option<Delivery> {
        poll_fn(|cx| lock(&self.shared).poll_next(cx)).await
    }

    /// Returns the next message, if it is there already.
    pub(super) fn ready(&mut self) -> Option<Delivery> {
        lock(&self.shared).next()
    }

    /// Returns true if the connection is to be closed without a word.
    pub(super) fn is_severed(&self) -> bool {
        lock(&self.shared).end == Some(End::Severed)
    }

    /// Returns true if nothing is to be read or sent for now.
    pub(super) fn is_silent(&self) -> bool {
        lock(&self.shared).silence.is_some()
    }

    /// Waits until the silence is over, or the queue has ended.
    pub(super) async fn silence_over(&self) {
        loop {
            let silence = lock(&self.shared).silence;
            let Some(Silence(until)) = silence else { return };
            let changed = poll_fn(|cx| {
                let mut waiting = lock(&self.shared);
                if waiting.end.is_some() || waiting.silence != silence {
                    return Poll::Ready(());
                }
                waiting.wait(cx);
                Poll::Pending
            });
            match until {
                None => changed.await,
                Some(until) => {
                    let _ = tokio::time::timeout_at(until.into(), changed).await;
                }
            }
            let mut waiting = lock(&self.shared);
            let is_due = until.is_some_and(|until| until <= Instant::now());
            if waiting.silence == silence && (waiting.end.is_some() || is_due) {
                waiting.silence = None;
            }
        }
    }

    /// Waits until something else than a message is to be noticed: the end of the queue, or a
    /// silence.
    pub(super) async fn interrupted(&self) {
        poll_fn(|cx| {
            let mut waiting = lock(&self.shared);
            if waiting.is_cut() || waiting.silence.is_some() {
                return Poll::Ready(());
            }
            waiting.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits until the waiting messages are not sent any more, if that happens.
    pub(super) async fn cut(&self) {
        poll_fn(|cx| {
            let mut waiting = lock(&self.shared);
            if waiting.is_cut() {
                return Poll::Ready(());
            }
            waiting.wait(cx);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        let mut waiting = lock(&self.shared);
        waiting.end = Some(End::Unread);
        let messages = std::mem::take(&mut waiting.messages);
        // They are dropped outside the lock: that may take a while.
        drop(waiting);
        drop(messages);
    }
}

/// Creates the two ends of a session.
pub(super) fn pipe(budget: usize) -> (Outlet, Inlet) {
    let shared = Shared::default();
    (Outlet { shared: shared.clone(), budget }, Inlet { shared })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(bytes: usize) -> Delivery {
        let data = JsonText::of(&json!({ "x": "y".repeat(bytes) }));
        Delivery::Event(Event::new("ice:candidate", data), None)
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_bytes_and_has_room_again_when_it_is_read() {
        let (outlet, mut inlet) = pipe(10_000);
        for _ in 0..9 {
            outlet.put(event(1000)).unwrap();
        }
        outlet.put(event(1000)).unwrap_err();
        inlet.recv().await.unwrap();
        outlet.put(event(1000)).unwrap();
        outlet.put(event(1000)).unwrap_err();
        for _ in 0..9 {
            inlet.recv().await.unwrap();
        }
        assert_eq!(lock(&inlet.shared).weight, 0);
        // A lone message fits even beyond the budget: relayed payloads get larger by the fields
        // around them.
        outlet.put(event(20_000)).unwrap();
        outlet.put(event(0)).unwrap_err();
    }

    #[test]
    fn a_queue_is_bounded_in_messages() {
        let (outlet, _inlet) = pipe(usize::MAX);
        for _ in 0..MAX_MESSAGES {
            outlet.put(event(0)).unwrap();
        }
        outlet.put(event(0)).unwrap_err();
    }

    #[tokio::test]
    async fn an_overflowing_queue_ends_at_once_and_a_dropped_one_after_its_last_message() {
        for (is_cut, left) in [(true, 0), (false, 2)] {
            let (outlet, mut inlet) = pipe(10_000);
            outlet.put(event(10)).unwrap();
            outlet.put(event(10)).unwrap();
            if is_cut {
                outlet.cut()
            } else {
                drop(outlet)
            }
            let mut count = 0;
            while inlet.recv().await.is_some() {
                count += 1;
            }
            assert_eq!(count, left);
        }
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken_by_new_messages() {
        let (outlet, mut inlet) = pipe(10_000);
        let reading = tokio::spawn(async move { while inlet.recv().await.is_some() {} });
        for _ in 0..3 {
            tokio::task::yield_now().await;
            outlet.put(event(1)).unwrap();
        }
        tokio::task::yield_now().await;
        drop(outlet);
        reading.await.unwrap();
        let (outlet, inlet) = pipe(10_000);
        let waiting = tokio::spawn(async move { inlet.cut().await });
        tokio::task::yield_now().await;
        outlet.cut();
        waiting.await.unwrap();
    }

    #[test]
    fn a_queue_whose_connection_is_gone_does_not_overflow() {
        let (outlet, inlet) = pipe(100);
        drop(inlet);
        outlet.put(event(50)).unwrap();
    }
}
