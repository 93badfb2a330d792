//! How many calls, and how often: what holds for whoever begins one or joins a room.

use std::time::Duration;

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use serde_json::value::RawValue;

use super::{EndReason, ErrorCode, Hub, RequestError, call::Call, rate::interval, sender::Sender};

impl Hub {
    /// How many calls a user is in. Those that only ring at the user's devices are not among them:
    /// others have begun them, and they must not keep the user from anything.
    pub(super) fn own_calls(&self, user: &UserId) -> usize {
        self.users.get(user).map_or(0, |user| user.calls.len()) - self.ringing_at(user).count()
    }

    /// The calls to a user that nobody has taken.
    pub(super) fn ringing_at(&self, user: &UserId) -> impl Iterator<Item = &Call> {
        let calls = self.users.get(user).map_or(&[][..], |user| &user.calls);
        let calls = calls.iter().filter_map(|id| self.calls.get(*id));
        calls.filter(move |call| call.rings_at(user))
    }

    /// Returns true if a user is in as many calls as the user may be in.
    pub(super) fn is_at_limit(&self, user: &UserId) -> bool {
        self.own_calls(user) >= self.max_calls(user)
    }

    /// Returns true if a call to this user would end with `busy`.
    pub(super) fn is_busy(&self, user: &UserId) -> bool {
        let ringing = self.ringing_at(user).count();
        let counted = if self.config.ringing_is_busy { ringing } else { 0 };
        ringing >= self.config.max_ringing_per_user
            || self.own_calls(user) + counted >= self.max_calls(user)
    }

    /// Checks that one more call of the sender may ring at a user, if those that yield to it were to
    /// end.
    pub(super) fn check_ringing(
        &self,
        sender: &Sender,
        callee: &UserId,
    ) -> Result<(), RequestError> {
        let stay = self.own_ringing_at(sender, callee).count();
        if stay >= self.config.max_ringing_per_pair
            && stay - self.yielding_at(sender, callee).count() >= self.config.max_ringing_per_pair
        {
            let message = "As many of your calls as may be ring at this user already.";
            return Err(RequestError::new(ErrorCode::TooManyCalls, message));
        }
        Ok(())
    }

    /// The sender's calls that ring at this user.
    fn own_ringing_at(&self, sender: &Sender, callee: &UserId) -> impl Iterator<Item = &Call> {
        let calls = self.users.get(&sender.user).map_or(&[][..], |user| &user.calls);
        let calls = calls.iter().filter_map(|id| self.calls.get(*id));
        calls.filter(move |call| call.rings_at(callee))
    }

    /// Those of them that nothing but a lost connection keeps.
    fn yielding_at(&self, sender: &Sender, callee: &UserId) -> impl Iterator<Item = CallId> {
        let rings = |id: &CallId| self.calls.get(*id).is_some_and(|call| call.rings_at(callee));
        self.calls_that_yield(sender).filter(rings)
    }

    /// Ends as many of those as it takes for one more of the sender's calls to ring at this user.
    pub(super) fn give_way_at(&mut self, now: Now, sender: &Sender, callee: &UserId) {
        let yielding: Vec<CallId> = self.yielding_at(sender, callee).collect();
        for id in yielding {
            if self.own_ringing_at(sender, callee).count() < self.config.max_ringing_per_pair {
                return;
            }
            self.end(now, id, EndReason::Left);
        }
    }

    /// Checks that a user may be in one more call, if the calls that yield to it were to end.
    pub(super) fn check_own_calls(&self, sender: &Sender) -> Result<(), RequestError> {
        let all = self.own_calls(&sender.user);
        let max = self.max_calls(&sender.user);
        if all >= max && all - self.calls_that_yield(sender).count() >= max {
            let message = "You are in as many calls as you may be in.";
            return Err(RequestError::new(ErrorCode::TooManyCalls, message));
        }
        Ok(())
    }

    /// Lets pass while the server may carry one more call or room.
    pub(super) fn check_all_calls(&self) -> Result<(), RequestError> {
        if self.calls.len() + self.rooms.len() >= self.config.max_calls {
            let message = "The server carries as many calls as it may. Try again later.";
            return Err(RequestError::new(ErrorCode::ServerFull, message));
        }
        Ok(())
    }

    /// Counts a call from one user to another. It is the last check, so that only what comes about
    /// counts.
    pub(super) fn count_call_to(
        &mut self,
        now: Now,
        caller: &UserId,
        callee: &UserId,
    ) -> Result<(), RequestError> {
        let (pair, per_minute) = ((caller.clone(), callee.clone()), self.config.calls_per_pair);
        let free = self.pairs.check(now.instant, &pair, per_minute);
        free.map_err(|retry_after| {
            RequestError::rate_limited("You call this user too often.", retry_after)
        })?;
        self.count_call(now, caller)?;
        self.pairs.count(now.instant, pair, per_minute);
        Ok(())
    }

    /// Counts a call that a user begins, or a room that the user joins; the last check, likewise.
    pub(super) fn count_call(&mut self, now: Now, user: &UserId) -> Result<(), RequestError> {
        let every = interval(Duration::from_secs(60), self.config.calls_per_minute);
        let mut taken = Ok(());
        self.users.update(user, |user| {
            taken = user.call_bucket.take(now.instant, every, self.config.call_burst);
        });
        taken.map_err(|retry_after| RequestError::rate_limited("You call too often.", retry_after))
    }

    /// What a client sent along, as it is kept.
    pub(super) fn metadata(
        &self,
        metadata: Option<&RawValue>,
    ) -> Result<Option<Box<RawValue>>, RequestError> {
        if metadata.is_some_and(|metadata| metadata.get().len() > self.config.max_metadata) {
            let message = format!("metadata has more than {} bytes.", self.config.max_metadata);
            return Err(RequestError::new(ErrorCode::PayloadTooLarge, message));
        }
        Ok(metadata.map(ToOwned::to_owned))
    }
}
