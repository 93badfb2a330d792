//! The sources of a worker that are to be read: now, since the system has reported them and they
//! have not been read to their end; or later, since a limit holds them back.

use std::time::{Duration, Instant};

use callbox_base::clock::TimerQueue;
use callbox_turn::{AllocationId, ConnectionId, StreamId};

use super::source::Source;

/// The longest time that a source sleeps before it is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The number of kinds of sources.
const KINDS: usize = 7;

/// The sources that are to be read. Readiness is reported only once, so that a source stays here
/// until it has been read to its end; it is in the list at most once. A source that is closed may
/// stay until it is read, which is harmless: nothing can be read from it, nor from one that has its
/// name by then.
#[derive(Debug, Default)]
pub(super) struct ReadyList {
    list: Vec<Source>,
    /// True for each source that is in the list, by its kind and index.
    is_listed: [Vec<bool>; KINDS],
    /// The sources that are to be read later.
    asleep: TimerQueue<Source>,
    /// The time until which each source sleeps, by its kind and index.
    asleep_until: [Vec<Option<Instant>>; KINDS],
}

impl ReadyList {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the source at an index of the list.
    pub(crate) fn get(&self, index: usize) -> Source {
        self.list[index]
    }

    /// Adds a source, unless it is in the list.
    pub(crate) fn add(&mut self, source: Source) {
        if !std::mem::replace(entry(&mut self.is_listed, source), true) {
            self.list.push(source);
        }
    }

    /// Removes the source at an index, which has been read to its end or is gone. The last one
    /// takes its index.
    pub(crate) fn remove(&mut self, index: usize) {
        let source = self.list.swap_remove(index);
        *entry(&mut self.is_listed, source) = false;
    }

    /// Returns true while a source is not to be read.
    pub(crate) fn is_asleep(&self, source: Source) -> bool {
        let (kind, index) = kind_and_index(source);
        self.asleep_until[kind].get(index).is_some_and(Option::is_some)
    }

    /// Does not read a source until `until`, for a second at most, unless it sleeps already.
    pub(crate) fn sleep(&mut self, now: Instant, source: Source, until: Instant) {
        let due = entry(&mut self.asleep_until, source);
        if due.is_none() {
            let until = until.min(now + LONGEST_SLEEP);
            *due = Some(until);
            self.asleep.set(until, source);
        }
    }

    /// Adds the sources that have slept long enough.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(source) = self.asleep.pop(now) {
            *entry(&mut self.asleep_until, source) = None;
            self.add(source);
        }
    }

    /// Returns the time at which the next source wakes.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.asleep.next()
    }

    /// Ends the sleep of a source that is closed: another may get its name.
    pub(crate) fn forget(&mut self, source: Source) {
        let (kind, index) = kind_and_index(source);
        if let Some(until) = self.asleep_until[kind].get_mut(index).and_then(Option::take) {
            self.asleep.clear(until, source);
        }
    }

    /// Releases memory that was used for many sources.
    pub(crate) fn shrink(&mut self) {
        self.list.shrink_to_fit();
        for listed in &mut self.is_listed {
            shrink(listed, |is_listed| *is_listed);
        }
        for until in &mut self.asleep_until {
            shrink(until, Option::is_some);
        }
    }
}

/// Drops the entries behind the last one that is in use, and their memory.
fn shrink<T>(entries: &mut Vec<T>, is_used: impl Fn(&T) -> bool) {
    entries.truncate(entries.iter().rposition(is_used).map_or(0, |last| last + 1));
    entries.shrink_to_fit();
}

fn kind_and_index(source: Source) -> (usize, usize) {
    match source {
        Source::Listener(index) => (0, index.into()),
        Source::Relay(AllocationId(id)) => (1, id as usize),
        Source::Connected(AllocationId(id)) => (2, id as usize),
        Source::Ring(index) => (3, index),
        Source::Stream(StreamId(id)) => (4, id as usize),
        Source::TcpRelay(AllocationId(id)) => (5, id as usize),
        Source::Connection(ConnectionId(id)) => (6, id as usize),
    }
}

fn entry<T: Default + Clone>(of: &mut [Vec<T>; KINDS], source: Source) -> &mut T {
    let (kind, index) = kind_and_index(source);
    let entries = &mut of[kind];
    if entries.len() <= index {
        entries.resize(index + 1, T::default());
    }
    &mut entries[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Source = Source::Stream(StreamId(3));

    #[test]
    fn a_source_is_in_the_list_once_until_it_is_removed() {
        let mut ready = ReadyList::default();
        let sources = [Source::Listener(0), Source::Relay(AllocationId(3)), STREAM];
        for source in sources.into_iter().chain(sources) {
            ready.add(source);
        }
        assert_eq!(ready.len(), 3);
        ready.remove(0);
        assert_eq!([ready.get(0), ready.get(1)], [sources[2], sources[1]]);
        ready.add(sources[0]);
        assert_eq!(ready.len(), 3);
        ready.shrink();
        sources.into_iter().for_each(|source| ready.add(source));
        assert_eq!(ready.len(), 3);
    }

    #[test]
    fn a_source_sleeps_until_its_time_a_second_at_most_or_until_it_is_gone() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut ready = ReadyList::default();
        ready.sleep(start, STREAM, start + second / 2);
        ready.sleep(start, STREAM, start + second);
        ready.sleep(start, Source::Connection(ConnectionId(0)), start + 9 * second);
        assert!(ready.is_asleep(STREAM) && ready.is_empty());
        assert_eq!(ready.next_wake(), Some(start + second / 2));
        ready.wake(start + second / 2);
        assert!(!ready.is_asleep(STREAM) && ready.get(0) == STREAM);
        assert_eq!(ready.next_wake(), Some(start + second));
        ready.sleep(start, STREAM, start + second);
        ready.forget(STREAM);
        assert!(!ready.is_asleep(STREAM));
        ready.wake(start + second);
        assert_eq!((ready.len(), ready.next_wake()), (2, None));
    }
}
