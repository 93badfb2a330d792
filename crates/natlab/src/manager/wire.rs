//! The link between a host and its router: a thread that carries frames between two interfaces, and
//! delays and drops them. Not every kernel has the queueing discipline netem, and this is the same
//! on each.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use callbox_sys::PacketSocket;
use rand::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    error::{LabError, Tried},
    quality::{Change, Quality},
};

/// The most that waits for a link with a rate, as time: what comes later is dropped.
const LONGEST_QUEUE: Duration = Duration::from_millis(300);

/// The most frames that are on their way in one direction.
const MOST_FRAMES: usize = 20_000;

/// The longest time until the thread sees a change of the quality.
const TURN: Duration = Duration::from_millis(50);

/// The state that the manager and the thread share.
#[derive(Debug, Default)]
struct State {
    quality: Quality,
    /// Until then everything is dropped.
    cut_until: Option<Instant>,
}

/// A link.
#[derive(Debug, Clone)]
pub(super) struct Wire(Arc<Mutex<State>>);

impl Wire {
    /// Starts the thread of a link between two interfaces, which are named by their indices.
    pub(super) fn start(name: &str, ends: [u32; 2], quality: Quality) -> Result<Self, LabError> {
        let failed = format!("cannot make the link of `{name}`");
        let sockets = [
            PacketSocket::open(ends[0]).tried(&failed)?,
            PacketSocket::open(ends[1]).tried(&failed)?,
        ];
        let state = Arc::new(Mutex::new(State { quality, cut_until: None }));
        let wire = Self(state);
        let shared = wire.clone();
        let work = move || shared.carry(&sockets);
        thread::Builder::new().name(format!("link {name}")).spawn(work).tried(&failed)?;
        Ok(wire)
    }

    /// Changes the quality, and returns the new one.
    pub(super) fn change(&self, change: Change) -> Quality {
        let mut state = self.state();
        state.quality.change(change);
        state.quality
    }

    /// Drops everything for a while.
    pub(super) fn cut(&self, time: Duration) {
        self.state().cut_until = Some(Instant::now() + time);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries frames until the interfaces are gone.
    fn carry(&self, sockets: &[PacketSocket; 2]) {
        let mut ways = [Way::default(), Way::default()];
        loop {
            let due = ways.iter().filter_map(Way::next).min();
            let wait =
                due.map_or(TURN, |due| due.saturating_duration_since(Instant::now()).min(TURN));
            if !wait.is_zero() && wait_for(sockets, wait).is_err() {
                return;
            }
            for (from, way) in ways.iter_mut().enumerate() {
                let (source, target) = (&sockets[from], &sockets[1 - from]);
                let state = self.state();
                let (quality, cut_until) = (state.quality, state.cut_until);
                drop(state);
                let is_cut = cut_until.is_some_and(|end| Instant::now() < end);
                if is_cut {
                    way.frames.clear();
                }
                loop {
                    match source.receive() {
                        Ok(frame) if !is_cut => way.take(frame, &quality),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        // There is no more, or the interface is down for the moment.
                        Err(_) => break,
                    }
                }
                way.deliver(target);
            }
        }
    }
}

/// Waits until there is a frame, or for this time.
fn wait_for(sockets: &[PacketSocket; 2], time: Duration) -> io::Result<()> {
    let mut polled =
        [PollFd::new(&sockets[0], PollFlags::IN), PollFd::new(&sockets[1], PollFlags::IN)];
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    match poll(&mut polled, Some(&time)) {
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The frames on their way in one direction.
#[derive(Default)]
struct Way {
    frames: VecDeque<(Instant, Vec<u8>)>,
    /// The time at which the last frame of a link with a rate has left.
    free_at: Option<Instant>,
    /// The time at which the last frame arrives: later ones do not overtake it.
    last: Option<Instant>,
}

impl Way {
    fn next(&self) -> Option<Instant> {
        self.frames.front().map(|(due, _)| *due)
    }

    /// Takes a frame, or drops it.
    fn take(&mut self, frame: Vec<u8>, quality: &Quality) {
        let now = Instant::now();
        let mut random = rand::rng();
        if random.random::<f64>() < quality.loss.probability() || self.frames.len() >= MOST_FRAMES {
            return;
        }
        let mut left = now;
        if let Some(rate) = quality.rate {
            left = self.free_at.unwrap_or(now).max(now);
            if left - now > LONGEST_QUEUE {
                return;
            }
            left += rate.time_of(frame.len());
            self.free_at = Some(left);
        }
        let due = left + quality.delay + quality.jitter.mul_f64(random.random());
        let due = self.last.map_or(due, |last| last.max(due));
        self.last = Some(due);
        self.frames.push_back((due, frame));
    }

    /// Sends the frames that are due.
    fn deliver(&mut self, target: &PacketSocket) {
        let now = Instant::now();
        while let Some((_, frame)) = self.frames.pop_front_if(|(due, _)| *due <= now) {
            // A full queue drops it, as that of a link does.
            let _ = target.send(&frame);
        }
    }
}
