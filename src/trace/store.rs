//! The traces in memory, which the hub's task and the relay's workers write to. They are bounded:
//! the oldest ones make room, those of calls that are over first.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use callbox_base::{
    clock::Now,
    faults::Selector,
    ids::{CallId, UserId},
};

use super::{
    bindings::Bindings,
    details::{SessionChange, Transport},
    document::{CallTrace, What},
    files::Files,
    recording::Recording,
};

/// The largest number of calls with a trace.
const MAX_CALLS: usize = 2000;

/// The largest number of steps in all traces.
const MAX_STEPS: usize = 200_000;

/// The settings of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory to which the traces of calls that are over are written.
    pub dir: Option<PathBuf>,
}

/// The traces of a server.
#[derive(Debug)]
pub struct Traces {
    recordings: Mutex<Recordings>,
    files: Option<Files>,
}

/// The traces in memory.
#[derive(Debug, Default)]
struct Recordings {
    by_call: HashMap<CallId, Recording>,
    /// The calls, the oldest first.
    order: VecDeque<CallId>,
    /// The number of steps in all of them.
    steps: usize,
    bindings: Bindings,
}

impl Traces {
    /// Makes traces; with a directory, starts the thread that writes files to it.
    ///
    /// # Errors
    /// The system's error, if the directory cannot be made or written to.
    pub fn start(config: Config) -> io::Result<Self> {
        let files = config.dir.map(Files::start).transpose()?;
        Ok(Self { recordings: Mutex::default(), files })
    }

    /// Adds a step of a call. With `begin`, the trace begins with it if there is none; only for
    /// calls that are known to exist.
    pub(super) fn add(&self, now: Now, call: CallId, what: What, begin: bool) {
        let is_end = matches!(what, What::Over { .. });
        let mut recordings = self.lock();
        recordings.add(now, call, what, begin);
        let over = recordings.by_call.get(&call).filter(|_| is_end && self.files.is_some());
        let document = over.map(Recording::document);
        drop(recordings);
        if let (Some(document), Some(files)) = (document, &self.files) {
            files.write(document);
        }
    }

    /// Returns the one live call of a user that has a trace; `None` if there are none or several.
    pub(super) fn only_call_of(&self, user: &UserId) -> Option<CallId> {
        let recordings = self.lock();
        let mut calls = recordings.live().filter(|(_, recording)| recording.includes(user));
        let (call, _) = calls.next()?;
        calls.next().is_none().then_some(*call)
    }

    /// Returns true if a user has taken part in a call that has a trace.
    pub(super) fn includes(&self, call: CallId, user: &UserId) -> bool {
        self.lock().by_call.get(&call).is_some_and(|recording| recording.includes(user))
    }

    /// Adds a change of a connection of a user to the live calls of the user.
    pub(super) fn session_changed(&self, now: Now, user: &UserId, change: SessionChange) {
        let mut recordings = self.lock();
        let calls = recordings.live().filter(|(_, recording)| recording.includes(user));
        let calls: Vec<_> = calls.map(|(call, _)| *call).collect();
        for call in calls {
            recordings.add(now, call, What::Session { user: user.clone(), change }, false);
        }
    }

    /// Adds a fault that was injected to the live calls that it is for.
    pub fn fault(&self, now: Now, selector: &Selector, fault: &str) {
        let mut recordings = self.lock();
        let is_meant = |call: &CallId, recording: &Recording| {
            selector.call_id.is_none_or(|only| only == *call)
                && selector.user_id.as_ref().is_none_or(|user| recording.includes(user))
        };
        let calls = recordings.live().filter(|(call, recording)| is_meant(call, recording));
        let calls: Vec<_> = calls.map(|(call, _)| *call).collect();
        for call in calls {
            let (fault, user) = (fault.to_owned(), selector.user_id.clone());
            recordings.add(now, call, What::Fault { fault, user }, false);
        }
    }

    /// Gives the trace that the Binding requests of a client belong to, with the latest one from
    /// there, which had no user.
    pub(super) fn client_seen(&self, call: CallId, user: &UserId, client: SocketAddr) {
        let mut recordings = self.lock();
        let Recordings { by_call, bindings, .. } = &mut *recordings;
        let Some(recording) = by_call.get_mut(&call) else { return };
        if !bindings.is_known(client) {
            return;
        }
        if recording.includes(user)
            && recording.add_client(client, user)
            && let Some((now, transport)) = bindings.take(client)
        {
            let what = What::Binding { user: user.clone(), client, transport };
            recordings.add(now, call, what, false);
        }
    }

    /// Notes a Binding request until its user is known.
    pub(super) fn binding(&self, now: Now, client: SocketAddr, transport: Transport) {
        self.lock().bindings.add(now, client, transport);
    }

    /// Returns the trace of a call.
    pub fn get(&self, call: CallId) -> Option<CallTrace> {
        self.lock().by_call.get(&call).map(Recording::document)
    }

    /// Writes the traces of the calls that go on, as the server stops, and waits for all files.
    pub fn finish(&self) {
        let Some(files) = &self.files else { return };
        let live: Vec<_> = self.lock().live().map(|(_, live)| live.document()).collect();
        live.into_iter().for_each(|document| files.write(document));
        files.finish();
    }

    fn lock(&self) -> MutexGuard<'_, Recordings> {
        self.recordings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recordings {
    /// Returns the traces of calls that are not over.
    fn live(&self) -> impl Iterator<Item = (&CallId, &Recording)> {
        self.by_call.iter().filter(|(_, recording)| !recording.is_over())
    }

    fn add(&mut self, now: Now, call: CallId, what: What, begin: bool) {
        let recording = match self.by_call.entry(call) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if !begin => return,
            Entry::Vacant(entry) => {
                self.order.push_back(call);
                entry.insert(Recording::new(call))
            }
        };
        self.steps += usize::from(recording.push(now, what));
        while self.order.len() > 1 && (self.order.len() > MAX_CALLS || self.steps > MAX_STEPS) {
            self.drop_one(call);
        }
    }

    /// Drops the oldest trace of a call that is over, or if there is none the oldest one, but never
    /// that of `kept`.
    fn drop_one(&mut self, kept: CallId) {
        let is_over = |call: &CallId| self.by_call.get(call).is_none_or(Recording::is_over);
        let may = |call: &CallId| *call != kept;
        let over = self.order.iter().position(|call| may(call) && is_over(call));
        let Some(index) = over.or_else(|| self.order.iter().position(may)) else { return };
        let dropped = self.order.remove(index).and_then(|call| self.by_call.remove(&call));
        self.steps -= dropped.map_or(0, |recording| recording.len());
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::trace::Facts;

    fn traces() -> Traces {
        Traces::start(Config { dir: None }).unwrap()
    }

    fn call(n: u64) -> CallId {
        CallId::generate(n, &mut StdRng::seed_from_u64(n))
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn request(name: &str) -> What {
        let (user, event) = (user(name), "call:initiate".to_owned());
        What::Request { user, event, error: None, facts: Facts::default() }
    }

    fn over() -> What {
        What::Over { reason: "ended".to_owned(), user: None }
    }

    #[test]
    fn a_trace_begins_only_with_a_step_of_a_call_that_exists() {
        let (traces, now) = (traces(), Now::read());
        traces.add(now, call(1), request("mallory"), false);
        assert_eq!(traces.get(call(1)), None);
        traces.add(now, call(1), request("alice"), true);
        traces.add(now, call(1), request("bob"), false);
        assert_eq!(traces.get(call(1)).unwrap().users, [user("alice"), user("bob")]);
    }

    #[test]
    fn calls_that_are_over_make_room_first() {
        let (traces, now) = (traces(), Now::read());
        for n in 0..MAX_CALLS as u64 {
            traces.add(now, call(n), request("alice"), true);
        }
        traces.add(now, call(7), over(), false);
        traces.add(now, call(10_000), request("alice"), true);
        assert!(traces.get(call(7)).is_none() && traces.get(call(0)).is_some());
        traces.add(now, call(10_001), request("alice"), true);
        assert!(traces.get(call(0)).is_none() && traces.get(call(1)).is_some());
        assert_eq!(traces.lock().by_call.len(), MAX_CALLS);
    }

    #[test]
    fn the_number_of_steps_is_bounded() {
        let (traces, now) = (traces(), Now::read());
        for n in 0..MAX_STEPS as u64 / 1000 + 20 {
            for _ in 0..1000 {
                traces.add(now, call(n), request("alice"), true);
            }
        }
        let recordings = traces.lock();
        assert!(recordings.steps <= MAX_STEPS);
        let counted: usize = recordings.by_call.values().map(Recording::len).sum();
        assert_eq!(recordings.steps, counted);
    }

    #[test]
    fn the_only_live_call_of_a_user_is_found() {
        let (traces, now) = (traces(), Now::read());
        assert_eq!(traces.only_call_of(&user("alice")), None);
        traces.add(now, call(1), request("alice"), true);
        assert_eq!(traces.only_call_of(&user("alice")), Some(call(1)));
        traces.add(now, call(2), request("alice"), true);
        assert_eq!(traces.only_call_of(&user("alice")), None);
        traces.add(now, call(1), over(), false);
        assert_eq!(traces.only_call_of(&user("alice")), Some(call(2)));
        assert!(traces.includes(call(1), &user("alice")));
        assert!(!traces.includes(call(1), &user("bob")));
    }

    #[test]
    fn faults_and_lost_connections_are_in_the_live_calls_that_they_are_for() {
        let (traces, now) = (traces(), Now::read());
        traces.add(now, call(1), request("alice"), true);
        traces.add(now, call(2), request("bob"), true);
        traces.add(now, call(3), request("alice"), true);
        traces.add(now, call(3), over(), true);
        traces.session_changed(now, &user("alice"), SessionChange::Lost);
        traces.fault(now, &Selector { user_id: Some(user("bob")), call_id: None }, "cutSession");
        traces.fault(now, &Selector::default(), "relayGone");
        traces.fault(now, &Selector { user_id: None, call_id: Some(call(2)) }, "packets");
        let len = |n| traces.get(call(n)).unwrap().steps.len();
        assert_eq!([len(1), len(2), len(3)], [3, 4, 2]);
    }

    #[test]
    fn the_first_binding_of_each_address_of_a_client_is_in_its_call() {
        let (traces, now) = (traces(), Now::read());
        let client = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        traces.add(now, call(1), request("alice"), true);
        traces.binding(now, client(1), Transport::Udp);
        traces.client_seen(call(1), &user("mallory"), client(1));
        for _ in 0..2 {
            traces.client_seen(call(1), &user("alice"), client(1));
            traces.client_seen(call(1), &user("alice"), client(2));
            traces.binding(now, client(1), Transport::Udp);
        }
        let steps = traces.get(call(1)).unwrap().steps;
        let (alice, udp) = (user("alice"), Transport::Udp);
        assert_eq!(steps.len(), 2);
        let binding = What::Binding { user: alice, client: client(1), transport: udp };
        assert_eq!(steps[1].what, binding);
    }
}
