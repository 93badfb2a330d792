//! The queue, with a simulated clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use callbox_base::ids::CallId;
use callbox_tls::Roots;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::Notify;

use super::{
    Post, Shared, WebhookInbox,
    queue::{Limits, Outcome, Queue},
};
use crate::{
    https::Client,
    reports::{Event, testing, webhook::WebhookKeys},
};

const LIMITS: Limits = Limits { events: 10_000, bytes: 1024 * 1024, at_once: 8 };
const SECOND: Duration = Duration::from_secs(1);

/// Returns an event with this body, which is not stored.
fn event(body: impl Into<Bytes>) -> Event {
    Event { body: body.into(), kept: None }
}

/// A queue, and the events that the receiver has got from it.
struct World {
    queue: Queue,
    limits: Limits,
    start: Instant,
    now: Instant,
    numbers: u32,
    /// The events that were added and are not known to be lost, by call.
    put: BTreeMap<CallId, Vec<u32>>,
    /// The events that were delivered or refused, by call.
    got: BTreeMap<CallId, Vec<u32>>,
    sending: BTreeMap<CallId, Bytes>,
    attempts: usize,
}

impl World {
    fn new(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            queue: Queue::new(limits, StdRng::seed_from_u64(7)),
            limits,
            start: now,
            now,
            numbers: 0,
            put: BTreeMap::new(),
            got: BTreeMap::new(),
            sending: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// Adds the next event of this call.
    fn put(&mut self, call: u64) {
        self.numbers += 1;
        let body = self.numbers.to_be_bytes().to_vec();
        self.queue.put(self.now, testing::call(call), event(body));
        self.put.entry(testing::call(call)).or_default().push(self.numbers);
        self.check();
    }

    /// Begins to send the events that are due.
    fn send(&mut self) {
        while let Some((call, body)) = self.queue.next(self.now) {
            self.attempts += 1;
            assert!(self.sending.insert(call, body).is_none(), "two of one call at once");
        }
        self.check();
    }

    /// Ends a delivery.
    fn end(&mut self, call: CallId, outcome: Outcome) {
        let body = self.sending.remove(&call).unwrap();
        if matches!(outcome, Outcome::Delivered | Outcome::Refused) {
            let number = u32::from_be_bytes(body[..].try_into().unwrap());
            self.got.entry(call).or_default().push(number);
        }
        self.queue.done(self.now, call, outcome);
        self.check();
    }

    /// Sends and ends everything that is due now, each with the outcome that the receiver returns.
    fn exchange(&mut self, mut receiver: impl FnMut(CallId) -> Outcome) {
        loop {
            self.send();
            let Some(call) = self.sending.keys().next().copied() else { return };
            self.end(call, receiver(call));
        }
    }

    /// Lets time pass; events that become due meanwhile are sent then.
    fn pass(&mut self, by: Duration, mut receiver: impl FnMut(CallId) -> Outcome) {
        let end = self.now + by;
        self.exchange(&mut receiver);
        while let Some(due) = self.queue.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.exchange(&mut receiver);
        }
        self.now = end;
    }

    /// Checks the invariants.
    fn check(&self) {
        let (counts, limits) = (self.queue.counts(), self.limits);
        assert!(self.sending.len() <= limits.at_once);
        // Events that are being sent are not dropped, and a lone event always fits.
        assert!(counts.waiting <= limits.events.max(limits.at_once + 1));
        let got: usize = self.got.values().map(Vec::len).sum();
        assert_eq!(counts.delivered + counts.refused, got as u64);
        let known = got as u64 + counts.dropped + counts.waiting as u64;
        assert_eq!(known, u64::from(self.numbers), "an event is lost or counted twice");
        assert_eq!(counts.waiting_bytes, counts.waiting * (128 + 4));
        for (call, got) in &self.got {
            assert!(got.is_sorted(), "out of order");
            let put: BTreeSet<_> = self.put[call].iter().collect();
            assert!(got.iter().all(|number| put.contains(number)), "not of this call");
        }
    }

    /// Returns true if the receiver has every event that was added.
    fn all_is_delivered(&self) -> bool {
        self.got == self.put && self.queue.is_empty()
    }
}

#[test]
fn a_receiver_that_is_down_for_a_minute_gets_everything_once_it_is_up() {
    let mut world = World::new(LIMITS);
    let down_until = world.now + 60 * SECOND;
    for second in 0..60 {
        for call in 0..20 {
            world.put(20 * (second / 6) + call);
        }
        world.pass(SECOND, |_| Outcome::Down);
    }
    assert_eq!((world.queue.counts().delivered, world.now), (0, down_until));
    // The number of attempts is small, however many calls there are.
    assert!((5..=15).contains(&world.attempts), "{} attempts", world.attempts);
    world.pass(30 * SECOND, |_| Outcome::Delivered);
    assert!(world.all_is_delivered());
    assert_eq!(world.queue.counts().delivered, 1200);
}

#[test]
fn a_failure_of_one_call_s_event_delays_no_other_call() {
    let mut world = World::new(LIMITS);
    for number in 0..1000 {
        world.put(number % 100);
    }
    let bad = testing::call(50);
    let receiver = |call| if call == bad { Outcome::Failed } else { Outcome::Delivered };
    world.exchange(receiver);
    assert_eq!((world.queue.counts().delivered, world.now), (990, world.start));
    world.pass(120 * SECOND, receiver);
    let failures = world.queue.counts().failures;
    assert!((8..=15).contains(&failures), "{failures} failures");
    world.pass(30 * SECOND, |_| Outcome::Delivered);
    assert!(world.all_is_delivered());
}

#[test]
fn a_refused_event_is_not_sent_again_and_the_next_ones_are() {
    let mut world = World::new(LIMITS);
    (0..3).for_each(|_| world.put(1));
    let mut answers = [Outcome::Delivered, Outcome::Refused, Outcome::Delivered].into_iter();
    world.exchange(|_| answers.next().unwrap());
    assert!(world.all_is_delivered());
    let counts = world.queue.counts();
    assert_eq!((counts.delivered, counts.refused, counts.failures), (2, 1, 0));
}

#[test]
fn deliveries_from_before_an_outage_do_not_prolong_it() {
    let mut world = World::new(LIMITS);
    (0..8).for_each(|call| world.put(call));
    world.send();
    assert_eq!(world.sending.len(), 8);
    let calls: Vec<_> = world.sending.keys().copied().collect();
    calls.into_iter().for_each(|call| world.end(call, Outcome::Down));
    world.pass(SECOND / 2, |_| Outcome::Delivered);
    assert!(world.all_is_delivered());
}

#[test]
fn a_receiver_gets_nothing_during_the_pause_that_it_asks_for() {
    let mut world = World::new(LIMITS);
    (0..20).for_each(|call| world.put(call));
    world.send();
    let calls: Vec<_> = world.sending.keys().copied().collect();
    world.end(calls[0], Outcome::Busy(120 * SECOND));
    // Deliveries that had begun before do not change that, whatever their outcome.
    world.end(calls[1], Outcome::Delivered);
    world.end(calls[2], Outcome::Busy(SECOND));
    calls[3..].iter().for_each(|call| world.end(*call, Outcome::Failed));
    assert_eq!(world.queue.next_due(), Some(world.start + 120 * SECOND));
    world.pass(119 * SECOND, |_| unreachable!());
    world.pass(SECOND, |_| Outcome::Delivered);
    assert!(world.all_is_delivered());
}

#[test]
fn a_requested_pause_is_at_most_ten_minutes_and_at_least_the_regular_one() {
    let mut world = World::new(LIMITS);
    world.put(1);
    world.exchange(|_| Outcome::Busy(Duration::MAX));
    assert_eq!(world.queue.next_due(), Some(world.start + 600 * SECOND));
    world.pass(600 * SECOND, |_| Outcome::Busy(Duration::ZERO));
    assert!(world.queue.next_due().unwrap() > world.now + SECOND / 4);
    world.pass(SECOND, |_| Outcome::Delivered);
    assert!(world.all_is_delivered());
}

#[test]
fn without_room_all_events_of_the_oldest_calls_are_dropped() {
    let mut world = World::new(Limits { events: 10, ..LIMITS });
    for call in [1, 2, 3] {
        (0..3).for_each(|_| world.put(call));
    }
    world.send();
    // The first of each call is being sent. There is room for one more, and then for none.
    world.put(4);
    assert_eq!(world.queue.counts().dropped, 0);
    world.put(4);
    assert_eq!(world.queue.counts().dropped, 2);
    // A late event of the call that lost some still waits for the one that is being sent.
    world.put(1);
    world.send();
    world.end(testing::call(1), Outcome::Failed);
    world.pass(SECOND, |_| Outcome::Delivered);
    let numbers = |call| world.got[&testing::call(call)].clone();
    assert_eq!((numbers(1), numbers(2)), (vec![1, 12], vec![4, 5, 6]));
    assert_eq!((numbers(3), numbers(4)), (vec![7, 8, 9], vec![10, 11]));
    assert!(world.queue.is_empty());
}

#[test]
fn bytes_are_bounded_and_a_lone_event_of_any_weight_fits() {
    let now = Instant::now();
    let limits = Limits { bytes: 1000, ..LIMITS };
    let mut queue = Queue::new(limits, StdRng::seed_from_u64(7));
    for call in 0..5 {
        queue.put(now, testing::call(call), event(vec![0; 500]));
        assert_eq!(queue.counts().waiting, 1);
    }
    queue.put(now, testing::call(5), event(vec![0; 5000]));
    let counts = queue.counts();
    assert_eq!((counts.waiting, counts.waiting_bytes, counts.dropped), (1, 5128, 5));
}

/// Events are reported as finished when they need not be stored any more, and no sooner.
#[test]
fn each_event_is_stored_until_it_is_delivered_refused_or_dropped() {
    let now = Instant::now();
    let mut queue = Queue::new(Limits { events: 3, ..LIMITS }, StdRng::seed_from_u64(7));
    let put = |queue: &mut Queue, call, number| {
        let event = Event { kept: Some(number), ..event("x") };
        queue.put(now, testing::call(call), event);
    };
    (1..=3).for_each(|number| put(&mut queue, number, number));
    let (first, _) = queue.next(now).unwrap();
    let (second, _) = queue.next(now).unwrap();
    queue.done(now, first, Outcome::Failed);
    assert!(queue.take_finished().is_empty());
    queue.done(now, second, Outcome::Refused);
    assert_eq!(queue.take_finished(), [2]);
    (4..=5).for_each(|number| put(&mut queue, number, number));
    // There was no room, and the oldest was dropped.
    assert_eq!(queue.take_finished(), [1]);
}

#[test]
fn at_the_end_every_event_is_due() {
    let mut world = World::new(LIMITS);
    (0..20).for_each(|call| world.put(call));
    world.pass(10 * SECOND, |_| Outcome::Down);
    world.queue.hurry(world.now);
    world.exchange(|_| Outcome::Delivered);
    assert!(world.all_is_delivered());
}

#[test]
fn once_the_inbox_is_dropped_every_event_is_due() {
    let mut queue = Queue::new(LIMITS, StdRng::seed_from_u64(7));
    let now = Instant::now();
    queue.put(now, testing::call(1), event(Bytes::new()));
    let (call, _) = queue.next(now).unwrap();
    queue.done(now + 60 * SECOND, call, Outcome::Down);
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        log: None,
        changed: Notify::new(),
        closing: AtomicBool::new(false),
    });
    let rng = StdRng::seed_from_u64(7);
    let url = "http://127.0.0.1/".parse().unwrap();
    let post = Post::new(Client::new(Roots::public()), url, WebhookKeys::new(&[]));
    drop(WebhookInbox::new(shared.clone(), Arc::new(post), rng, 0));
    assert!(shared.queue().next_due().unwrap() <= Instant::now());
    assert!(shared.closing.load(Relaxed));
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Send,
    End(usize, Outcome),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        Just(Outcome::Delivered),
        Just(Outcome::Refused),
        Just(Outcome::Failed),
        Just(Outcome::Down),
        (0..20u32).prop_map(|seconds| Outcome::Busy(seconds * SECOND)),
    ];
    prop_oneof![
        4 => (0..6u64).prop_map(Step::Put),
        2 => Just(Step::Send),
        4 => (0..4usize, outcome).prop_map(|(at, outcome)| Step::End(at, outcome)),
        1 => (0..20_000u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// In any sequence of steps, each call's events arrive in order, each once, and the counters
    /// add up; and once the receiver is up it gets every event that was not dropped.
    #[test]
    fn each_call_s_events_arrive_in_order_in_any_sequence_of_steps(
        steps in prop::collection::vec(step(), 1..300),
        events in 1..20usize,
    ) {
        let mut world = World::new(Limits { events, at_once: 4, ..LIMITS });
        for step in steps {
            match step {
                Step::Put(call) => world.put(call),
                Step::Send => world.send(),
                Step::End(at, outcome) => {
                    if let Some(call) = world.sending.keys().nth(at).copied() {
                        world.end(call, outcome);
                    }
                }
                Step::Pass(ms) => world.now += Duration::from_millis(ms),
            }
        }
        for call in world.sending.keys().copied().collect::<Vec<_>>() {
            world.end(call, Outcome::Delivered);
        }
        world.pass(31 * SECOND, |_| Outcome::Delivered);
        prop_assert!(world.queue.is_empty());
        if world.queue.counts().dropped == 0 {
            prop_assert!(world.all_is_delivered());
        }
    }
}
