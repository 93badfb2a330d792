//! How many calls, and how often: what holds for whoever begins one or joins a room.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{
    ErrorCode, Hub, RequestError,
    rate::interval,
    requests::{Sender, rate_limited},
};
use crate::{clock::Now, ids::UserId};

impl Hub {
    /// Whether a user is in as many calls as the user may be in.
    pub(super) fn is_at_limit(&self, user: &UserId) -> bool {
        self.users.get(user).map_or(0, |user| user.calls.len()) >= self.max_calls(user)
    }

    /// Checks that a user may be in one more call, if the calls that yield to it were to end.
    pub(super) fn check_own_calls(&self, sender: &Sender) -> Result<(), RequestError> {
        let all = self.users.get(&sender.user).map_or(0, |user| user.calls.len());
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

    /// Counts a call that a user begins, or a room that the user joins. It is the last check, so that
    /// only what comes about counts.
    pub(super) fn count_call(&mut self, now: Now, user: &UserId) -> Result<(), RequestError> {
        let every = interval(Duration::from_secs(60), self.config.calls_per_minute);
        let mut taken = Ok(());
        self.users.update(user, |user| {
            taken = user.call_bucket.take(now.instant, every, self.config.call_burst);
        });
        taken.map_err(|retry_after| rate_limited("You call too often.", retry_after))
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
