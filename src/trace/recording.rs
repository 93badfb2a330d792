//! The trace of one call in memory. Its first steps and its latest ones are kept.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use callbox_signaling::Timestamp;

use super::document::{CallTrace, Step, What};

/// The number of first steps that are kept: those in which a call comes to have media, or not.
const FIRST: usize = 1500;

/// The number of latest steps that are kept.
const LATEST: usize = 500;

/// The largest number of users and of addresses of clients that are noted.
const MAX_NOTED: usize = 64;

/// The steps of one call.
#[derive(Debug)]
pub(super) struct Recording {
    call: CallId,
    first: Vec<(Now, What)>,
    latest: VecDeque<(Now, What)>,
    omitted: u64,
    users: Vec<UserId>,
    /// The addresses from which users have reached the server.
    clients: HashMap<SocketAddr, UserId>,
    is_over: bool,
}

impl Recording {
    pub(super) fn new(call: CallId) -> Self {
        Self {
            call,
            first: Vec::new(),
            latest: VecDeque::new(),
            omitted: 0,
            users: Vec::new(),
            clients: HashMap::new(),
            is_over: false,
        }
    }

    /// Adds a step. Returns true if there is one step more than before.
    pub(super) fn push(&mut self, now: Now, what: What) -> bool {
        if let Some(user) = what.participant()
            && !self.includes(user)
            && self.users.len() < MAX_NOTED
        {
            self.users.push(user.clone());
        }
        self.is_over |= matches!(what, What::Over { .. });
        if self.first.len() < FIRST {
            self.first.push((now, what));
            return true;
        }
        let is_full = self.latest.len() == LATEST;
        if is_full {
            self.latest.pop_front();
            self.omitted += 1;
        }
        self.latest.push_back((now, what));
        !is_full
    }

    /// Notes the address from which a user has reached the server. Returns true if it is new.
    pub(super) fn add_client(&mut self, client: SocketAddr, user: &UserId) -> bool {
        let is_new = !self.clients.contains_key(&client) && self.clients.len() < MAX_NOTED;
        if is_new {
            self.clients.insert(client, user.clone());
        }
        is_new
    }

    /// Returns the number of steps that are kept.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.latest.len()
    }

    /// Returns true if a user has taken part.
    pub(super) fn includes(&self, user: &UserId) -> bool {
        self.users.contains(user)
    }

    /// Returns true once the call is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the document. Its diagnosis is empty.
    pub(super) fn document(&self) -> CallTrace {
        let mut steps: Vec<_> = self.first.iter().chain(&self.latest).collect();
        // Those of other threads, and those whose call was known only later, are not in order.
        steps.sort_by_key(|(at, _)| at.instant);
        let start = steps.first().map(|(at, _)| *at);
        let mut users: Vec<UserId> = Vec::new();
        for user in steps.iter().filter_map(|(_, what)| what.participant()) {
            if !users.contains(user) && self.includes(user) {
                users.push(user.clone());
            }
        }
        let since_start = |at: &Now| {
            let time = start.map(|start| at.instant.duration_since(start.instant));
            // Microseconds are exact enough, and short in JSON.
            time.map_or(0.0, |time| time.as_micros() as f64 / 1000.0)
        };
        CallTrace {
            call_id: self.call,
            started_at: Timestamp(start.map(|start| start.unix).unwrap_or_default()),
            is_over: self.is_over,
            users,
            diagnosis: String::new(),
            omitted: self.omitted,
            steps: steps
                .into_iter()
                .map(|(at, what)| Step { at_ms: since_start(at), what: what.clone() })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::trace::{Facts, SessionChange};

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn request(name: &str, event: &str) -> What {
        let (user, event) = (user(name), event.to_owned());
        What::Request { user, event, error: None, facts: Facts::default() }
    }

    fn recording() -> (Recording, Now) {
        let call = CallId::generate(1, &mut StdRng::seed_from_u64(1));
        (Recording::new(call), Now::read())
    }

    #[test]
    fn steps_are_in_the_order_of_their_times() {
        let (mut recording, now) = recording();
        let ms = |ms| now + Duration::from_millis(ms);
        recording.push(ms(30), request("bob", "call:accept"));
        recording.push(ms(20), What::Session { user: user("bob"), change: SessionChange::Lost });
        recording.push(ms(5), request("alice", "call:initiate"));
        let trace = recording.document();
        assert_eq!(trace.users, [user("alice"), user("bob")]);
        let times: Vec<_> = trace.steps.iter().map(|step| step.at_ms).collect();
        assert_eq!(times, [0.0, 15.0, 25.0]);
        assert_eq!(trace.started_at.0, ms(5).unix);
        assert!(!trace.is_over);
    }

    #[test]
    fn a_long_trace_keeps_its_beginning_and_its_end() {
        let (mut recording, now) = recording();
        for n in 0..FIRST + LATEST + 7 {
            let more = recording.push(now, request("alice", &n.to_string()));
            assert_eq!(more, n < FIRST + LATEST, "{n}");
        }
        let trace = recording.document();
        assert_eq!((trace.omitted, trace.steps.len()), (7, FIRST + LATEST));
        assert_eq!(recording.len(), FIRST + LATEST);
        assert_eq!(trace.steps[FIRST].what, request("alice", &(FIRST + 7).to_string()));
        recording.push(now, What::Over { reason: "ended".into(), user: None });
        assert!(recording.is_over() && recording.document().is_over);
    }

    #[test]
    fn each_address_of_a_client_is_new_once_and_their_number_is_bounded() {
        let (mut recording, _) = recording();
        let address = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        assert!(recording.add_client(address(1), &user("alice")));
        assert!(!recording.add_client(address(1), &user("alice")));
        let added = (2..1000).filter(|port| recording.add_client(address(*port), &user("bob")));
        assert_eq!(added.count(), MAX_NOTED - 1);
    }
}
