//! Clients that leave for good, and those that come back without saying which they were.
//!
//! A client that names neither its device nor the session that it goes on with may still be one that
//! has just lost its connection. It is taken for that if nothing else it can be looks the same. And
//! whatever is left of a lost connection does not keep its user from a new call.

use std::time::Instant;

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};

use super::{
    ClientMark, EndReason, Hub,
    call::{Party, Place},
    members::Member,
    rooms::Leaving,
    sender::Sender,
};

/// Devices of a user that lost their connections and cannot say so when they come back.
#[derive(Debug, Default)]
pub(super) struct LostDevices(Vec<Lost>);

#[derive(Debug)]
struct Lost {
    mark: ClientMark,
    device: DeviceId,
    /// The time until which it is waited for.
    until: Instant,
}

impl LostDevices {
    /// Remembers one more, and of too many forgets the oldest.
    fn add(&mut self, lost: Lost, now: Instant, max: usize) {
        self.0.retain(|known| known.until > now && known.device != lost.device);
        if self.0.len() >= max.max(1) {
            self.0.remove(0);
        }
        self.0.push(lost);
    }

    /// Returns the only device that has this mark; `None` if there are several.
    fn only(&self, mark: ClientMark, now: Instant) -> Option<&DeviceId> {
        let mut alike = self.0.iter().filter(|lost| lost.mark == mark && lost.until > now);
        let device = &alike.next()?.device;
        alike.next().is_none().then_some(device)
    }

    /// A device is there again.
    pub fn remove(&mut self, device: &DeviceId) {
        self.0.retain(|lost| lost.device != *device);
    }
}

impl Hub {
    /// Returns the device of a client that names none, if it can be told.
    pub(super) fn device_like(
        &self,
        now: Now,
        user: &UserId,
        mark: ClientMark,
    ) -> Option<DeviceId> {
        self.users.get(user)?.lost.only(mark, now.instant).cloned()
    }

    /// The connection of a session is gone, and the session with it. Its device may come back.
    pub(super) fn lose_session(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        if let Some(mark) = session.mark {
            let (user, device) = (session.user.clone(), session.device.clone());
            let until = now.instant + self.config.reconnect_grace;
            let max = self.config.max_sessions_per_user;
            self.users.update(&user, |entry| {
                entry.lost.add(Lost { mark, device, until }, now.instant, max);
            });
        }
        self.leave(now, id);
    }

    /// A client has left for good, and its calls with it: they end, or go on at the device that they are
    /// being handed to.
    pub(super) fn depart(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (user, device) = (session.user.clone(), session.device.clone());
        let sender = Sender { session: id, user, device };
        self.forget_session(id);
        for call in self.users.calls(&sender.user) {
            self.depart_from(now, call, &sender);
        }
    }

    fn depart_from(&mut self, now: Now, id: CallId, sender: &Sender) {
        if let Some(room) = self.rooms.get(id) {
            if let Some(participant) = room.participant_of(sender.session) {
                let (by, asked) = (Some(sender.user.clone()), Some(sender.session));
                let leaving = Leaving { reason: EndReason::Left, by, asked };
                self.leave_room(now, id, participant, &leaving);
            }
            return;
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        match (call.place_of(sender.session), &mut call.transfer) {
            (Some(Place::Party(role)), Some(transfer)) if transfer.role == role => {
                transfer.alone = true;
                self.wait_for(now, Member::Side(id, role), false);
            }
            (Some(Place::Party(_)), _) => drop(self.end_for(now, id, EndReason::Left, sender)),
            _ => self.lose(now, id, sender.session),
        }
    }

    /// The calls of a user that nothing but a lost connection keeps: it is still waited for, or the
    /// sender's device is there again and has not said a word about the call.
    pub(super) fn calls_that_yield(&self, sender: &Sender) -> impl Iterator<Item = CallId> {
        let calls = self.users.get(&sender.user).map_or(&[][..], |user| &user.calls);
        let yields = |party: &Party| {
            let is_back = party.session == Some(sender.session) && party.unclaimed;
            party.user != sender.user || party.grace_until.is_some() || is_back
        };
        calls.iter().copied().filter(move |id| {
            if let Some(call) = self.calls.get(*id) {
                let parties = [&call.parties.caller, &call.parties.callee];
                let own = parties.into_iter().find(|party| party.user == sender.user);
                return own.is_some_and(yields);
            }
            let room = self.rooms.get(*id);
            room.is_some_and(|room| room.participants.values().all(|one| yields(&one.party)))
        })
    }

    /// Ends as many of them as it takes for the user to begin another call.
    pub(super) fn give_way(&mut self, now: Now, sender: &Sender) {
        let calls: Vec<CallId> = self.calls_that_yield(sender).collect();
        for id in calls {
            if !self.is_at_limit(&sender.user) {
                return;
            }
            let Some(room) = self.rooms.get(id) else {
                // The sender is told as well: it has not asked for this.
                self.end(now, id, EndReason::Left);
                continue;
            };
            let own = room.participants.iter().filter(|(_, one)| one.party.user == sender.user);
            let own: Vec<_> = own.map(|(participant, _)| *participant).collect();
            let by = Some(sender.user.clone());
            let leaving = Leaving { reason: EndReason::Left, by, asked: None };
            for participant in own {
                self.leave_room(now, id, participant, &leaving);
            }
        }
    }

    /// A device has said something about its calls: they are its own.
    pub(super) fn claim_calls(&mut self, sender: &Sender) {
        for id in self.users.calls(&sender.user) {
            let own = |party: &&mut Party| party.session == Some(sender.session);
            if let Some(call) = self.calls.get_mut(id) {
                let parties = [&mut call.parties.caller, &mut call.parties.callee];
                parties.into_iter().filter(own).for_each(|party| party.unclaimed = false);
            } else if let Some(room) = self.rooms.get_mut(id) {
                let parties = room.participants.values_mut().map(|one| &mut one.party);
                parties.filter(own).for_each(|party| party.unclaimed = false);
            }
        }
    }
}
