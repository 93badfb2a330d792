//! One call: its sides, its state and what waits to be relayed.

mod description_kind;
mod involvement;
mod journal;
mod lifecycle;
mod live;
mod media;
mod party;
mod record;
mod relayed;
mod ringing;
mod role;
mod state;
mod times;
mod transfer;

use std::time::Duration;

use callbox_base::{
    clock::{Now, TimerQueue},
    ids::{CallId, DeviceId, SessionId, UserId},
};
use serde_json::value::RawValue;

pub(super) use description_kind::DescriptionKind;
pub(super) use involvement::Involvement;
pub(super) use journal::{Journal, JournalFull, JournalOf};
pub(super) use lifecycle::Lifecycle;
pub(super) use live::{Calls, HasLifecycle, Live};
pub use media::{CallStats, Media, Path};
pub(super) use party::Party;
pub use record::{CallRecord, Participant};
pub(super) use record::{RelayMeter, seconds};
pub(super) use ringing::{Ringing, RingingDevice};
pub(super) use role::PerRole;
pub use role::Role;
pub use state::CallState;
pub(super) use state::Step;
pub(super) use times::Times;
pub(super) use transfer::Transfer;

use super::{
    CallType, EndReason, Timestamp,
    member::{Lane, Member},
    timer::Timer,
};

/// A call of two that is not over.
#[derive(Debug)]
pub(super) struct Call {
    lifecycle: Lifecycle,
    /// The metadata that the caller sent along.
    metadata: Option<Box<RawValue>>,
    parties: PerRole<Party>,
    /// The callee's devices that ring, before the accept; empty after it.
    ringing: Ringing,
    /// The journal of each side's payloads.
    journals: PerRole<Journal>,
    /// The transfer of a side to another device, while that rings.
    transfer: Option<Transfer>,
    /// True if a side has changed its device, and media does not flow yet.
    moved: bool,
    /// The upgrade that a side asks for, while the other has not answered.
    upgrade: Option<(Role, CallType)>,
    /// True if the server of the call crashed, and neither side has come back since.
    orphaned: bool,
}

/// The state of a call that a server before this one kept.
#[derive(Debug)]
pub(super) struct KeptState {
    pub state: CallState,
    pub times: Times,
    pub journals: PerRole<Journal>,
    pub relay: RelayMeter,
    pub moved: bool,
    pub upgrade: Option<(Role, CallType)>,
}

impl HasLifecycle for Call {
    fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    fn lifecycle_mut(&mut self) -> &mut Lifecycle {
        &mut self.lifecycle
    }
}

impl Call {
    /// Makes a call that has not begun.
    pub(crate) fn new(
        now: Now,
        id: CallId,
        kind: CallType,
        metadata: Option<Box<RawValue>>,
        parties: PerRole<Party>,
        ring_for: Duration,
    ) -> Self {
        Self {
            lifecycle: Lifecycle::begin(now, id, kind, CallState::Idle),
            metadata,
            parties,
            ringing: Ringing::new(id, now + ring_for),
            journals: PerRole::default(),
            transfer: None,
            moved: false,
            upgrade: None,
            orphaned: false,
        }
    }

    /// Returns the call in the state that was kept of it.
    pub(crate) fn in_state(self, kept: KeptState) -> Self {
        let KeptState { state, times, journals, relay, moved, upgrade } = kept;
        let lifecycle = self.lifecycle.restored(state, times, relay);
        Self { lifecycle, journals, moved, upgrade, ..self }
    }

    pub(crate) fn id(&self) -> CallId {
        self.lifecycle.id()
    }

    pub(crate) fn kind(&self) -> CallType {
        self.lifecycle.kind()
    }

    pub(crate) fn state(&self) -> CallState {
        self.lifecycle.state()
    }

    pub(crate) fn metadata(&self) -> Option<&RawValue> {
        self.metadata.as_deref()
    }

    /// Returns the ringing at the callee's devices.
    pub(crate) fn ringing(&self) -> &Ringing {
        &self.ringing
    }

    pub(crate) fn ringing_mut(&mut self) -> &mut Ringing {
        &mut self.ringing
    }

    pub(crate) fn party(&self, role: Role) -> &Party {
        &self.parties[role]
    }

    pub(crate) fn party_mut(&mut self, role: Role) -> &mut Party {
        &mut self.parties[role]
    }

    pub(crate) fn parties(&self) -> &PerRole<Party> {
        &self.parties
    }

    /// Returns the journal of a side's payloads.
    pub(crate) fn journal(&self, from: Role) -> &Journal {
        &self.journals[from]
    }

    pub(crate) fn journal_mut(&mut self, from: Role) -> &mut Journal {
        &mut self.journals[from]
    }

    /// Makes a device the callee's in the call, and stops the ringing. Returns the sessions of all
    /// devices that rang.
    pub(crate) fn accept(
        &mut self,
        now: Now,
        device: DeviceId,
        session: SessionId,
        timers: &mut TimerQueue<Timer>,
    ) -> Vec<SessionId> {
        self.lifecycle.start(now);
        self.parties.callee.change_device(device, session);
        self.ringing.stop(timers)
    }

    /// Returns the transfer that is under way.
    pub(crate) fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }

    pub(crate) fn transfer_mut(&mut self) -> Option<&mut Transfer> {
        self.transfer.as_mut()
    }

    /// Begins a transfer.
    pub(crate) fn begin_transfer(&mut self, transfer: Transfer, timers: &mut TimerQueue<Timer>) {
        let id = self.id();
        self.transfer.insert(transfer).start(id, timers);
    }

    /// Ends the transfer that is under way.
    pub(crate) fn take_transfer(&mut self, timers: &mut TimerQueue<Timer>) -> Option<Transfer> {
        let mut transfer = self.transfer.take()?;
        transfer.stop(self.id(), timers);
        Some(transfer)
    }

    /// Makes another device that of a side. Nothing of the peer connections before goes to either
    /// side, since both begin with new ones. Returns the session of the device before, and the
    /// number of dropped candidates.
    pub(crate) fn change_device(
        &mut self,
        role: Role,
        device: DeviceId,
        session: SessionId,
        timers: &mut TimerQueue<Timer>,
    ) -> (Option<SessionId>, usize) {
        let id = self.id();
        self.parties[role].stop_grace(timers, Timer::Grace(Member::Side(id, role)));
        let before = self.parties[role].change_device(device, session);
        // The device that asked, or that was asked, is not in the call any more.
        self.upgrade = None;
        self.moved = self.state() != CallState::Connecting;
        (before, self.drop_journals(timers))
    }

    /// Records that media flows. Returns true if it does on the new device of a side.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns true if a side has changed its device, and media does not flow yet.
    pub(crate) fn is_moved(&self) -> bool {
        self.moved
    }

    /// Returns the upgrade that a side asks for.
    pub(crate) fn upgrade(&self) -> Option<(Role, CallType)> {
        self.upgrade
    }

    /// Records that a side asks for an upgrade.
    pub(crate) fn ask_upgrade(&mut self, by: Role, kind: CallType) {
        self.upgrade = Some((by, kind));
    }

    /// Answers the upgrade that a side asks for.
    pub(crate) fn answer_upgrade(&mut self, is_accepted: bool) {
        if let Some((_, kind)) = self.upgrade.take()
            && is_accepted
        {
            self.lifecycle.set_kind(kind);
        }
    }

    /// Records whether the server of the call crashed, and neither side has come back since.
    pub(crate) fn set_orphaned(&mut self, is_orphaned: bool) {
        self.orphaned = is_orphaned;
    }

    /// Returns true if the server of the call crashed, and no device is in it.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned && self.members().next().is_none()
    }

    /// Clears all timers of a call that is over, and drops its journals. Returns the number of
    /// dropped candidates.
    pub(crate) fn stop(&mut self, timers: &mut TimerQueue<Timer>) -> usize {
        self.ringing.stop_timers(timers);
        self.lifecycle.stop_credential_refresh(timers);
        let id = self.id();
        // The transfer stays, for its device is told of the end of the call.
        if let Some(transfer) = &mut self.transfer {
            transfer.stop(id, timers);
        }
        for role in [Role::Caller, Role::Callee] {
            self.parties[role].stop_grace(timers, Timer::Grace(Member::Side(id, role)));
        }
        self.drop_journals(timers)
    }

    /// Drops the journals. Returns the number of dropped candidates.
    fn drop_journals(&mut self, timers: &mut TimerQueue<Timer>) -> usize {
        let mut dropped = 0;
        for from in [Role::Caller, Role::Callee] {
            let mut journal = std::mem::take(&mut self.journals[from]);
            journal.stop_hold(timers, Timer::Hold(Lane::From(self.id(), from)));
            dropped += journal.len();
        }
        dropped
    }

    /// Returns true if media is interrupted: a side is lost, or its new device has no media yet.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.moved || self.parties.caller.is_lost() || self.parties.callee.is_lost()
    }

    /// Returns the involvement of a session in this call.
    pub(crate) fn involvement_of(&self, session: SessionId) -> Option<Involvement> {
        let is = |party: &Party| party.session() == Some(session);
        if is(&self.parties.caller) {
            Some(Involvement::Side(Role::Caller))
        } else if is(&self.parties.callee) {
            Some(Involvement::Side(Role::Callee))
        } else if self.ringing.sessions().any(|ringing| ringing == session) {
            Some(Involvement::Ringing)
        } else {
            let transfer = self.transfer.as_ref();
            let offered = transfer.filter(|transfer| transfer.session() == session);
            offered.map(|transfer| Involvement::Offered(transfer.role()))
        }
    }

    /// Returns the side that the user is. Nobody is both, since users cannot call themselves.
    pub(crate) fn role_of(&self, user: &UserId) -> Option<Role> {
        if self.parties.caller.user() == user {
            Some(Role::Caller)
        } else if self.parties.callee.user() == user {
            Some(Role::Callee)
        } else {
            None
        }
    }

    /// Returns true if it is for this user, and nobody has accepted it.
    pub(crate) fn rings_at(&self, user: &UserId) -> bool {
        !self.state().is_accepted() && self.parties.callee.user() == user
    }

    /// Returns every session that is involved in this call.
    pub(crate) fn members(&self) -> impl Iterator<Item = SessionId> {
        [self.parties.caller.session(), self.parties.callee.session()]
            .into_iter()
            .flatten()
            .chain(self.ringing.sessions())
            .chain(self.transfer.as_ref().map(Transfer::session))
    }

    /// Returns the time until which it rings, before the accept or at the device that it is
    /// transferred to.
    pub(crate) fn expires_at(&self) -> Timestamp {
        let until = self.transfer.as_ref().map_or(self.ringing.until(), Transfer::until);
        Timestamp(until.unix)
    }

    /// Returns the record of the call now.
    pub(crate) fn record(&self, now: Now) -> CallRecord {
        let participant = |role: Role| {
            let party = &self.parties[role];
            let rings = role == Role::Callee && !self.ringing.is_empty();
            let connected = Some(party.is_connected() || rings);
            Participant { role: Some(role), connected, ..party.record() }
        };
        let participants = vec![participant(Role::Caller), participant(Role::Callee)];
        let duration = self.lifecycle.recorded_duration(now);
        CallRecord { participants, duration, ..self.lifecycle.record() }
    }

    /// Returns the record of the call that ends now.
    pub(crate) fn final_record(
        &self,
        now: Now,
        reason: EndReason,
        ended_by: Option<UserId>,
    ) -> CallRecord {
        let mut record = self.record(now);
        self.lifecycle.end_record(now, &mut record, reason, ended_by);
        record
    }

    /// Returns the numbers of running timers and of devices that ring.
    #[cfg(test)]
    pub(crate) fn timers_and_ringing(&self) -> (usize, usize) {
        let is_accepted = self.state().is_accepted();
        assert!(is_accepted || !self.lifecycle.has_credential_refresh());
        let is_decided_on = self.ringing.awaits_hold_decision();
        assert!(!is_decided_on || self.state() == CallState::Initiating);
        assert!(!is_decided_on || self.ringing.is_empty());
        let timers = [
            !is_accepted,
            self.lifecycle.has_credential_refresh(),
            is_decided_on,
            self.transfer.is_some(),
        ];
        (timers.into_iter().filter(|is_running| *is_running).count(), self.ringing.len())
    }
}
