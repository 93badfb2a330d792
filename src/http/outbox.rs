//! What waits for a session's connection: a bounded outbox between the hub's task, which never waits
//! for anyone, and a front.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use tokio::sync::{Notify, mpsc};

use crate::signaling::{Answer, CloseReason, Event, JsonText, MAX_REPLAY, RequestId};

/// Messages that wait for a session's connection. A burst of candidates fits in many times; who
/// has more waiting does not read.
const OUTBOX: usize = 2 * MAX_REPLAY;

/// What a message weighs besides its payload.
const MESSAGE_WEIGHT: usize = 32;

/// What a session's front has to send.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The first message.
    Welcome(JsonText),
    /// An event, and its number where the session can be resumed.
    Event(Event, Option<u64>),
    /// The answer to a request.
    Answer(RequestId, Answer),
    /// The last message: the hub has closed the session.
    Close(CloseReason),
}

impl Delivery {
    /// About how many bytes it holds on to.
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

/// A message in an outbox.
#[derive(Debug)]
struct Queued {
    delivery: Delivery,
    weight: usize,
}

/// State of an outbox that both of its ends see.
#[derive(Debug, Default)]
struct Shared {
    /// The weight of the messages in the queue.
    waiting: AtomicUsize,
    /// True once the outbox has run over.
    is_cut: AtomicBool,
    /// Wakes whoever waits for that.
    cut: Notify,
}

/// The hub's end of a session.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: mpsc::Sender<Box<Queued>>,
    shared: Arc<Shared>,
    budget: usize,
}

/// The front's end of a session.
#[derive(Debug)]
pub(super) struct Inlet {
    queue: mpsc::Receiver<Box<Queued>>,
    shared: Arc<Shared>,
}

/// The session's outbox has no room: its client does not read.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Outlet {
    /// Puts a message into the outbox; one that has gone away takes everything. A lone message
    /// always fits, however long it is.
    pub fn put(&self, delivery: Delivery) -> Result<(), TooSlow> {
        let weight = delivery.weight();
        // Only the hub adds, so what is free now stays free.
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(weight) > self.budget {
            return Err(TooSlow);
        }
        // Before the message can be taken out, and its weight with it.
        self.shared.waiting.fetch_add(weight, Ordering::Relaxed);
        match self.queue.try_send(Box::new(Queued { delivery, weight })) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(TooSlow),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Cuts the session off: what waits for it is not sent any more.
    pub fn cut(self) {
        self.shared.is_cut.store(true, Ordering::Release);
        self.shared.cut.notify_one();
    }
}

impl Inlet {
    /// Waits for the next message; none once the outbox has run over or the hub has let go of the
    /// session. May be cancelled without loss.
    pub(super) async fn recv(&mut self) -> Option<Delivery> {
        // The hub lets go of an outbox that it cuts, which wakes this.
        let queued = poll_fn(|cx| match self.shared.is_cut.load(Ordering::Acquire) {
            true => Poll::Ready(None),
            false => self.queue.poll_recv(cx),
        });
        let queued = queued.await?;
        Some(self.take(*queued))
    }

    /// The next message, if it is there already.
    pub(super) fn ready(&mut self) -> Option<Delivery> {
        let queued = self.queue.try_recv().ok()?;
        Some(self.take(*queued))
    }

    /// Waits until the outbox has run over, if it does.
    pub(super) async fn cut(&self) {
        self.shared.cut.notified().await;
    }

    fn take(&self, queued: Queued) -> Delivery {
        self.shared.waiting.fetch_sub(queued.weight, Ordering::Relaxed);
        queued.delivery
    }
}

/// Makes the two ends of a session. Messages are boxed: the queue's first block of slots is
/// allocated for every session, however idle.
pub(super) fn pipe(budget: usize) -> (Outlet, Inlet) {
    let (sender, receiver) = mpsc::channel(OUTBOX);
    let shared = Arc::<Shared>::default();
    let outlet = Outlet { queue: sender, shared: shared.clone(), budget };
    (outlet, Inlet { queue: receiver, shared })
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
    async fn an_outbox_holds_so_many_bytes_and_gets_room_when_it_is_read() {
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
        assert_eq!(inlet.shared.waiting.load(Ordering::Relaxed), 0);
        // Alone, even one past the budget: what is relayed has more around it than was sent.
        outlet.put(event(20_000)).unwrap();
        outlet.put(event(0)).unwrap_err();
    }

    #[test]
    fn an_outbox_holds_so_many_messages() {
        let (outlet, _inlet) = pipe(usize::MAX);
        for _ in 0..OUTBOX {
            outlet.put(event(0)).unwrap();
        }
        outlet.put(event(0)).unwrap_err();
    }

    #[test]
    fn an_outbox_that_has_gone_away_is_not_slow() {
        let (outlet, inlet) = pipe(100);
        drop(inlet);
        outlet.put(event(50)).unwrap();
    }
}
