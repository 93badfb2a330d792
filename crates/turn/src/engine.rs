//! One worker's share of the relay: its allocations, its timers and what it wants done.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use callbox_base::{
    clock::{Now, TimerQueue},
    ids::{CallId, UserId},
};
use callbox_stun::{
    ChannelNumber, ErrorCode, Method, Request, Response, ResponseBuilder, SigningKey,
};
use rand::{SeedableRng, rngs::StdRng};
use slab::Slab;

use super::{
    AllocationId, Common, ConnectionId, DropReason, EndReason, Ended, Event, FiveTuple, FromClient,
    MAX_LOGGED_NAME, Metrics, Output, Via,
    allocation::{Allocation, Slot},
    connections::Connections,
    limits::{Limits, Meter, Rates},
    reply_limit::Source,
    shared::ReservationToken,
    streams::Stream,
};
use crate::auth::{TurnAuthError, TurnIdentity, WrongCredentials};

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Allocation(AllocationId),
    Permission(AllocationId, IpAddr),
    Channel(AllocationId, ChannelNumber),
    Connection(ConnectionId),
    Reservation(ReservationToken),
}

/// The TURN server of one worker: its allocations, its timers and its outputs. The [crate's
/// documentation](crate#the-run-loop) says how to drive it.
#[derive(Debug)]
pub struct Engine {
    pub(super) common: Common,
    /// This worker's place in the list of workers.
    pub(super) worker: u16,
    pub(super) metrics: Arc<Metrics>,
    pub(super) slots: Slab<Slot>,
    /// Looked up for each packet; an attacker would first have to be given allocations.
    pub(super) by_tuple: HashMap<FiveTuple, AllocationId, foldhash::quality::RandomState>,
    /// The clients that came over TCP or TLS.
    pub(super) streams: Slab<Stream>,
    pub(super) connections: Connections,
    /// The allocations whose clients may move, by number.
    pub(super) mobile: HashMap<u32, AllocationId>,
    /// Where clients are that have moved and have not been heard from there, and whose number each
    /// has.
    pub(super) arriving: HashMap<FiveTuple, u32, foldhash::quality::RandomState>,
    pub(super) by_call: HashMap<CallId, Vec<AllocationId>>,
    /// The allocations of each user that are for no call, where they reach what the user's calls have
    /// announced.
    pub(super) by_user: HashMap<Arc<str>, Vec<AllocationId>>,
    pub(super) timers: TimerQueue<Timer>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) rng: StdRng,
    /// At how many allocations memory is given back.
    shrink_at: Option<usize>,
}

impl Engine {
    /// Makes the engine of the worker in place `worker` of at most
    /// [`MAX_WORKERS`](crate::MAX_WORKERS), which counts in `metrics`. `seed` must be unguessable
    /// and another one for each worker: relayed ports, numbers of connections and mobility tickets
    /// come from it.
    pub fn new(common: Common, worker: u16, metrics: Arc<Metrics>, seed: [u8; 32]) -> Self {
        let rng = StdRng::from_seed(seed);
        Self {
            common,
            worker,
            metrics,
            slots: Slab::new(),
            by_tuple: HashMap::default(),
            streams: Slab::new(),
            connections: Connections::default(),
            mobile: HashMap::new(),
            arriving: HashMap::default(),
            by_call: HashMap::new(),
            by_user: HashMap::new(),
            timers: TimerQueue::default(),
            outputs: VecDeque::new(),
            rng,
            shrink_at: None,
        }
    }

    /// Takes out the next thing to be done. To be called after each input until it returns `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time at which [`Engine::handle_timeout`] is to be called next; `None` if nothing
    /// is due at any time. It may change with each input.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Ends everything whose time is over at `now`: allocations, permissions, channels, connections
    /// that were not bound, and reserved ports.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.instant) {
            match timer {
                // Of a dual allocation each address has a life of its own (RFC 8656 §8.2).
                Timer::Allocation(id) => self.close(id, EndReason::Expired),
                Timer::Permission(id, ip) => {
                    if let Ok(allocation) = self.open_mut(id) {
                        allocation.permissions.remove(&ip);
                    }
                }
                Timer::Channel(id, number) => {
                    if let Ok(allocation) = self.open_mut(id)
                        && let Some(channel) = allocation.channels.remove(&number)
                    {
                        allocation.channel_of.remove(&channel.peer);
                    }
                }
                Timer::Connection(id) => self.connection_expired(id),
                Timer::Reservation(token) => self.common.shared.expire(token),
            }
        }
    }

    /// Closes every allocation of a call, and ends the permissions of `sides` that were granted for
    /// the call alone. [`Common::end_call`], which gives `sides`, comes first: from then on the
    /// call's credentials are refused.
    pub fn end_call(&mut self, call: CallId, sides: &[UserId]) {
        for id in self.by_call.get(&call).cloned().unwrap_or_default() {
            self.close(id, EndReason::CallEnded);
        }
        self.reapply_signaled_policy(call, sides);
    }

    /// Closes every allocation that a user has for a call, and ends the permissions of `sides` that
    /// were granted by what the user has announced, and those of the user for the call.
    /// [`Common::revoke_user`], which gives `sides`, comes first: from then on the user's
    /// credentials for the call are refused.
    pub fn revoke_user(&mut self, call: CallId, user: &str, sides: &[UserId]) {
        for id in self.by_call.get(&call).cloned().unwrap_or_default() {
            if self.open_ref(id).is_ok_and(|allocation| &*allocation.owner.user == user) {
                self.close(id, EndReason::Revoked);
            }
        }
        self.reapply_signaled_policy(call, sides);
    }

    /// Closes a user's allocations: all of them, or with `calls` those that are for no call or for
    /// one of these. Returns how many there were; each address of a dual allocation counts.
    /// [`Common::kick`] comes first: from then on the credentials are refused.
    ///
    /// Goes through all allocations of the worker, since only an operator asks for it.
    pub fn kick(&mut self, user: &str, calls: Option<&[CallId]>) -> usize {
        let is_meant = |allocation: &Allocation| {
            let is_in = |calls: &[CallId]| allocation.owner.call.is_none_or(|c| calls.contains(&c));
            *allocation.owner.user == *user && calls.is_none_or(is_in)
        };
        let meant = self.slots.iter().filter_map(|(id, slot)| match slot {
            Slot::Open(allocation) if is_meant(allocation) => Some(AllocationId(id as u32)),
            _ => None,
        });
        let meant: Vec<_> = meant.collect();
        meant.iter().for_each(|id| self.close(*id, EndReason::Revoked));
        meant.len()
    }

    /// Closes every open allocation, as the server stops. The outputs say what is to be closed; one
    /// that is being opened is left alone.
    pub fn close_all(&mut self) {
        let open: Vec<_> = self.slots.iter().map(|(id, _)| AllocationId(id as u32)).collect();
        open.into_iter().for_each(|id| self.close(id, EndReason::Stopped));
    }

    /// Answers a request: every way out of here is an answer, but for the reply limit.
    pub(super) fn handle_request(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        request: &Request<'_>,
    ) -> FromClient {
        if request.method == Method::Binding {
            return self.binding(now, tuple, request);
        }
        let id = self.addressed(tuple, request);
        let owner = id.and_then(|id| self.open_ref(id).ok()).map(|allocation| &allocation.owner);
        match self.common.auth.authenticate(now, tuple.client, request, owner) {
            Ok(identity) => {
                let key = identity.key;
                // Credentials first, then what must be understood (RFC 8489 §6.3).
                let result =
                    check(request).and_then(|()| self.dispatch(now, tuple, identity, request));
                self.respond(now, tuple, request, Some(key.expose()), result)
            }
            Err(error) => {
                if error == TurnAuthError::Wrong
                    && let Some(reason) = self.common.auth.why_wrong(now, tuple.client, request)
                {
                    self.tell_wrong_credentials(tuple, request, reason);
                }
                self.refuse(now, tuple, request, error.code(), error.challenges())
            }
        }
    }

    fn dispatch(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        identity: TurnIdentity,
        request: &Request<'_>,
    ) -> Result<Option<ResponseBuilder>, ErrorCode> {
        if request.method == Method::Allocate {
            return self.allocate(now, tuple, identity, request);
        }
        if request.method == Method::ConnectionBind {
            return self.connection_bind(tuple, &identity, request);
        }
        let id = self.find(tuple, &identity, request)?;
        // A client that has shown a new access token signs with its key from now on, and has its time
        // (RFC 7635 §4).
        let owner = &mut self.open_mut(id)?.owner;
        owner.key = identity.key;
        owner.expires = identity.expires;
        match request.method {
            Method::Refresh => self.refresh(now, id, request),
            Method::CreatePermission => self.create_permission(now, id, request),
            Method::ChannelBind => self.channel_bind(now, id, request),
            Method::Connect => return self.connect(now, id, identity.key, request).map(|()| None),
            Method::Binding | Method::Allocate | Method::ConnectionBind | Method::Send => {
                unreachable!("{:?} goes another way", request.method)
            }
        }
        .map(Some)
    }

    /// Sends the answer to a request, signed if its sender is known.
    pub(super) fn respond(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        request: &Request<'_>,
        key: Option<SigningKey<'_>>,
        result: Result<Option<ResponseBuilder>, ErrorCode>,
    ) -> FromClient {
        match result {
            Ok(None) => {}
            Ok(Some(response)) => {
                self.answer(tuple, request.method, Ok(()), response.finish(key));
            }
            Err(code) => {
                let challenges = code == ErrorCode::Unauthorized;
                if key.is_none() {
                    return self.refuse(now, tuple, request, code, challenges);
                }
                let response = ResponseBuilder::error(request, code);
                let response = self.explain(now, tuple, request, code, challenges, response);
                self.answer(tuple, request.method, Err(code), response.finish(key));
            }
        }
        FromClient::Handled
    }

    /// Adds what a client needs to know beside the code of an error.
    fn explain(
        &self,
        now: Now,
        tuple: FiveTuple,
        request: &Request<'_>,
        code: ErrorCode,
        challenges: bool,
        mut response: ResponseBuilder,
    ) -> ResponseBuilder {
        if code == ErrorCode::UnknownAttribute {
            response = response.unknown_attributes(&request.attributes.unknown);
        }
        if challenges { self.challenge(now, tuple, response) } else { response }
    }

    /// Adds what a client needs to try again with credentials.
    pub(super) fn challenge(
        &self,
        now: Now,
        tuple: FiveTuple,
        response: ResponseBuilder,
    ) -> ResponseBuilder {
        let auth = &self.common.auth;
        let response = response.challenge(auth.realm(), auth.nonce(now, tuple.client));
        match auth.third_party() {
            Some(server_name) => response.third_party(server_name),
            None => response,
        }
    }

    /// Asks for a log line that says that credentials are wrong.
    pub(super) fn tell_wrong_credentials(
        &mut self,
        tuple: FiveTuple,
        request: &Request<'_>,
        reason: WrongCredentials,
    ) {
        let user = request.attributes.username;
        let user = user.map(|user| user[..user.floor_char_boundary(MAX_LOGGED_NAME)].into());
        self.outputs.push_back(Output::WrongCredentials { client: tuple.client, user, reason });
    }

    /// Sends an error to somebody unknown, if the address may have one more.
    fn refuse(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        request: &Request<'_>,
        code: ErrorCode,
        challenges: bool,
    ) -> FromClient {
        let source = self.source(now, tuple, request);
        if !self.common.reply_limit.allow(now.instant, tuple.client.0, source) {
            self.metrics.dropped(DropReason::ReplyLimit);
            return FromClient::Dropped(DropReason::ReplyLimit);
        }
        let response = match source {
            Source::Proved => ResponseBuilder::error(request, code),
            Source::Unproved(_) => ResponseBuilder::short_error(request, code),
        };
        let response = self.explain(now, tuple, request, code, challenges, response);
        self.answer(tuple, request.method, Err(code), response.finish(None));
        FromClient::Handled
    }

    /// Finds out whether the source of a request can be forged. It cannot if it has a connection, or a
    /// nonce that was sent to it.
    pub(super) fn source(&self, now: Now, tuple: FiveTuple, request: &Request<'_>) -> Source {
        let connected = matches!(tuple.via, Via::Stream(_));
        if connected || self.common.auth.has_nonce(now, tuple.client, request) {
            Source::Proved
        } else {
            Source::Unproved(request.transaction)
        }
    }

    pub(super) fn answer(
        &mut self,
        to: FiveTuple,
        method: Method,
        result: Result<(), ErrorCode>,
        bytes: Response,
    ) {
        self.metrics.answered(method, result);
        self.outputs.push_back(Output::Transmit { to, bytes });
    }

    /// The open allocation under an id.
    ///
    /// # Errors
    /// 437 if there is none, or not yet.
    pub(super) fn open_ref(&self, id: AllocationId) -> Result<&Allocation, ErrorCode> {
        match self.slots.get(id.0 as usize) {
            Some(Slot::Open(allocation)) => Ok(allocation),
            _ => Err(ErrorCode::AllocationMismatch),
        }
    }

    /// The same, to change.
    pub(super) fn open_mut(&mut self, id: AllocationId) -> Result<&mut Allocation, ErrorCode> {
        match self.slots.get_mut(id.0 as usize) {
            Some(Slot::Open(allocation)) => Ok(allocation),
            _ => Err(ErrorCode::AllocationMismatch),
        }
    }

    /// What bounds a new allocation of a user.
    pub(super) fn limits(&self, now: Now, user: &Arc<str>) -> Limits {
        let config = &self.common.config;
        let rates = Rates::new(config.max_bandwidth, config.max_packet_rate);
        Limits {
            own: Meter::new(rates, now.instant).map(Box::new),
            user: self.common.shared.meter(now.instant, user),
        }
    }

    /// Closes an open allocation and forgets all that was bound to it; of a dual one, this address.
    /// One that is being opened stays until it is.
    pub(super) fn close(&mut self, id: AllocationId, reason: EndReason) {
        let Some(Slot::Open(_)) = self.slots.get(id.0 as usize) else { return };
        for connection in self.connections_of(id) {
            self.close_connection(connection);
        }
        let Slot::Open(mut allocation) = self.slots.remove(id.0 as usize) else { return };
        self.part_from_twin(&allocation);
        if let Some(mobility) = allocation.mobility.take() {
            self.end_mobility(mobility, allocation.twin);
        }
        self.timers.clear(allocation.expires, Timer::Allocation(id));
        for (ip, permission) in allocation.permissions.iter() {
            self.timers.clear(permission.expires, Timer::Permission(id, *ip));
        }
        for (number, channel) in allocation.channels.iter() {
            self.timers.clear(channel.expires, Timer::Channel(id, *number));
        }
        self.common.relayed.close(allocation.ip, allocation.port);
        self.common.shared.release(&allocation.owner.user, allocation.ip, allocation.port);
        self.metrics.allocation_closed();
        self.outputs.push_back(Output::CloseRelay { allocation: id });
        self.outputs.push_back(Output::Ended(Box::new(Ended {
            user: allocation.owner.user.clone(),
            call: allocation.owner.call,
            tuple: allocation.tuple,
            relayed: allocation.relayed,
            opened: allocation.opened,
            usage: allocation.usage.clone(),
            reason,
        })));
        self.forget_owner(id, &allocation.owner);
        if let Some(call) = allocation.owner.call {
            let usage = allocation.usage;
            if allocation.twin.is_none() {
                self.common.shared.leave_call(call);
                self.outputs.push_back(Output::Event(Event::AllocationClosed { call, usage }));
            }
        }
        self.shrink();
    }

    /// Enters an allocation where it is looked for when calls end.
    pub(super) fn note_owner(&mut self, id: AllocationId, owner: &TurnIdentity) {
        match owner.call {
            Some(call) => self.by_call.entry(call).or_default().push(id),
            None if !self.common.config.signaled_peers => {}
            None => self.by_user.entry(owner.user.clone()).or_default().push(id),
        }
    }

    fn forget_owner(&mut self, id: AllocationId, owner: &TurnIdentity) {
        match owner.call {
            Some(call) => remove_from(&mut self.by_call, &call, id),
            None => remove_from(&mut self.by_user, &owner.user, id),
        }
    }

    /// Notes how few allocations there have to be before memory is given back.
    pub(super) fn grown(&mut self) {
        let quarter = self.slots.len() / 4;
        if self.slots.len() >= WORTH_SHRINKING {
            self.shrink_at = Some(self.shrink_at.unwrap_or(0).max(quarter));
        }
    }

    /// Gives memory back once most allocations are gone: at each quarter of what there was, and at
    /// the end, so that it costs little over all.
    fn shrink(&mut self) {
        let left = self.slots.len();
        if self.shrink_at.is_none_or(|at| left > at) {
            return;
        }
        let next = if left >= WORTH_SHRINKING { left / 4 } else { 0 };
        self.shrink_at = (left > 0).then_some(next);
        self.slots.shrink_to_fit();
        self.by_tuple.shrink_to_fit();
        self.by_call.shrink_to_fit();
        self.by_user.shrink_to_fit();
        self.mobile.shrink_to_fit();
        self.arriving.shrink_to_fit();
        self.outputs.push_back(Output::ReleaseMemory);
    }
}

/// Takes an id out of a list of the map, and the list with the last one.
fn remove_from<K: Eq + Hash>(map: &mut HashMap<K, Vec<AllocationId>>, key: &K, id: AllocationId) {
    if let Some(ids) = map.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}

/// So many allocations are worth giving memory back for.
const WORTH_SHRINKING: usize = 1000;

/// What every request must pass: all that must be understood is, and has a value that can be read.
pub(super) fn check(request: &Request<'_>) -> Result<(), ErrorCode> {
    if !request.attributes.unknown.is_empty() {
        return Err(ErrorCode::UnknownAttribute);
    }
    if request.attributes.malformed {
        return Err(ErrorCode::BadRequest);
    }
    Ok(())
}
