//! The facts of a trace that the rules ask for.

use callbox_base::ids::UserId;

use crate::trace::{
    details::{EventFate, Facts, SessionChange},
    document::{CallTrace, What},
    text::{cut, printable},
};

/// The largest number of columns of a name in the sentence.
const MAX_NAME: usize = 40;

/// The longest time that a message may take which is in time, in milliseconds.
const IN_TIME: f64 = 5000.0;

/// A trace, for the rules.
pub(super) struct Story<'a> {
    trace: &'a CallTrace,
}

/// The end of a call.
pub(super) struct Over<'a> {
    /// Its time, in milliseconds.
    pub at: f64,
    /// Its reason.
    pub reason: String,
    /// The user who ended it.
    pub user: Option<&'a UserId>,
}

impl<'a> Story<'a> {
    pub(super) fn new(trace: &'a CallTrace) -> Self {
        Self { trace }
    }

    /// Returns the steps with their times in milliseconds.
    pub(super) fn steps(&self) -> impl DoubleEndedIterator<Item = (f64, &'a What)> {
        self.trace.steps.iter().map(|step| (step.at_ms, &step.what))
    }

    /// Returns the users, the caller first.
    pub(super) fn users(&self) -> &'a [UserId] {
        &self.trace.users
    }

    /// Returns each user with each other one.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a UserId, &'a UserId)> {
        let users = self.users();
        let others = move |user: &'a UserId| {
            users.iter().filter(move |other| *other != user).map(move |other| (user, other))
        };
        users.iter().flat_map(others)
    }

    /// Returns true if the call is a room.
    pub(super) fn is_room(&self) -> bool {
        self.steps().any(|(_, what)| match what {
            What::Request { event, .. } | What::Event { event, .. } => event.starts_with("room:"),
            _ => false,
        })
    }

    /// Returns the time of the first step that fits.
    pub(super) fn first(&self, fits: impl Fn(&What) -> bool) -> Option<f64> {
        self.steps().find(|(_, what)| fits(what)).map(|(at, _)| at)
    }

    /// Returns the time and the user of the first request with this name that was not refused.
    pub(super) fn requested(&self, name: &str) -> Option<(f64, &'a UserId)> {
        self.steps().find_map(|(at, what)| match what {
            What::Request { user, event, error: None, .. } if event == name => Some((at, user)),
            _ => None,
        })
    }

    /// Returns the time of the first request of a user that was not refused.
    pub(super) fn requested_by(&self, by: &UserId, name: &str) -> Option<f64> {
        self.first(|what| {
            matches!(what, What::Request { user, event, error: None, .. }
                if user == by && event == name)
        })
    }

    /// Returns the time of the last request of a user that was not refused.
    pub(super) fn last_request(&self, by: &UserId, name: &str) -> Option<f64> {
        self.steps().rev().find_map(|(at, what)| match what {
            What::Request { user, event, error: None, .. } if user == by && event == name => {
                Some(at)
            }
            _ => None,
        })
    }

    /// Returns the code of the last refusal of a request, unless it was taken at another time.
    pub(super) fn refused(&self, name: &str) -> Option<(&'a UserId, f64, String)> {
        let is_refused = |what: &'a What| match what {
            What::Request { user, event, error: Some(code), .. } if event == name => {
                Some((user, printable(code)))
            }
            _ => None,
        };
        let (at, (user, code)) =
            self.steps().rev().find_map(|(at, what)| Some((at, is_refused(what)?)))?;
        self.requested_by(user, name).is_none().then_some((user, at, code))
    }

    /// Returns the time at which the first event with this name was sent to a user.
    pub(super) fn reached(&self, to: &UserId, name: &str) -> Option<f64> {
        self.first(|what| {
            matches!(what, What::Event { user, event, fault: None | Some(EventFate::Duplicated), .. }
                if user == to && event == name)
        })
    }

    /// Returns the time at which a fault dropped the first event with this name to a user.
    pub(super) fn dropped(&self, to: &UserId, name: &str) -> Option<f64> {
        self.first(|what| {
            matches!(what, What::Event { user, event, fault: Some(EventFate::Dropped), .. }
                if user == to && event == name)
        })
    }

    /// Returns the time at which the call was taken; of a room, at which the second user came.
    pub(super) fn answered(&self) -> Option<f64> {
        if self.is_room() {
            let second = self.users().get(1)?;
            return self.requested_by(second, "room:join");
        }
        self.requested("call:accept").map(|(at, _)| at)
    }

    /// Returns the facts that clients have told, with their users.
    pub(super) fn told(&self) -> impl Iterator<Item = (f64, &'a UserId, &'a Facts)> {
        self.steps().filter_map(|(at, what)| match what {
            What::Request { user, error: None, facts, .. } => Some((at, user, facts)),
            _ => None,
        })
    }

    /// Returns the end of the call.
    pub(super) fn over(&self) -> Option<Over<'a>> {
        self.steps().find_map(|(at, what)| match what {
            What::Over { reason, user } => {
                Some(Over { at, reason: printable(reason), user: user.as_ref() })
            }
            _ => None,
        })
    }

    /// Returns the time of the last step.
    pub(super) fn last(&self) -> f64 {
        self.trace.steps.last().map(|step| step.at_ms).unwrap_or_default()
    }

    /// Returns the user whose connection broke and did not come back, and the time.
    pub(super) fn disconnected(&self) -> Option<(&'a UserId, f64)> {
        self.users().iter().find_map(|by| {
            let last = self.steps().rev().find_map(|(at, what)| match what {
                What::Session { user, change } if user == by => Some((at, *change)),
                _ => None,
            });
            let (at, change) = last?;
            let is_lost = matches!(change, SessionChange::Lost | SessionChange::Closed);
            let is_before = self.over().is_none_or(|over| at <= over.at);
            (is_lost && is_before).then_some((by, at))
        })
    }

    /// Returns the words on candidates that reached a user late: whose they are, and the time.
    pub(super) fn late_candidates(&self) -> Option<String> {
        let answered = self.answered()?;
        self.pairs().find_map(|(user, other)| {
            self.requested_by(other, "ice:candidate")?;
            let at = self.reached(user, "ice:candidate")?;
            (at > answered + IN_TIME).then(|| self.candidates_reached(user, other, at))
        })
    }

    /// Returns the words on candidates that reached a user at a time.
    pub(super) fn candidates_reached(&self, user: &UserId, other: &UserId, at: f64) -> String {
        let whose = match self.users().len() {
            2 => format!("{}'s", name(other)),
            _ => "the others'".to_owned(),
        };
        format!("{whose} candidates reached {} after {}", name(user), time(at))
    }
}

/// Returns the name of a user in a sentence.
pub(super) fn name(user: &UserId) -> String {
    match cut(printable(user.as_str()).trim(), MAX_NAME) {
        empty if empty.is_empty() => "a user without a name".to_owned(),
        name => name,
    }
}

/// Returns a time in a sentence.
pub(super) fn time(ms: f64) -> String {
    format!("{:.1} s", ms / 1000.0)
}
