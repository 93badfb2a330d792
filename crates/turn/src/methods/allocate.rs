//! Allocate (RFC 8656 §7.2): a relayed address for a client.

use std::{sync::Arc, time::Duration};

use callbox_base::{clock::Now, usage::Usage};
use callbox_stun::{ErrorCode, EvenPort, Family, Method, Request, ResponseBuilder, TransactionId};

use crate::{
    AllocationId, Engine, Event, FiveTuple, OpenError, Output, Owner, Via,
    allocation::{
        Allocation, DEFAULT_LIFETIME, Opening, RESERVATION_LIFETIME, SecondFamily, Slot, Transport,
        Wanted,
    },
    auth::{TurnIdentity, WrongCredentials},
    engine::Timer,
    shared::Taken,
};

/// The protocol number of TCP in REQUESTED-TRANSPORT (RFC 6062 §4.1, IANA's "Protocol Numbers").
const TCP: u8 = 6;

/// That of UDP (RFC 8656 §18.8).
const UDP: u8 = 17;

/// How many ports are tried before the server says that it has none: something else on the
/// machine may hold a few of the range.
const MAX_ATTEMPTS: u32 = 16;

impl Engine {
    /// Checks the request and has the socket opened; the answer follows in
    /// [`Engine::relay_opened`]. `None` where there is nothing to say yet.
    pub(crate) fn allocate(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        identity: TurnIdentity,
        request: &Request<'_>,
    ) -> Result<Option<ResponseBuilder>, ErrorCode> {
        if let Some(id) = self.addressed(tuple, request) {
            return self.allocate_again(id, &identity, request);
        }
        let attributes = &request.attributes;
        let transport = match attributes.requested_transport {
            None => return Err(ErrorCode::BadRequest),
            Some(UDP) => Transport::Udp,
            Some(TCP) => Transport::Tcp,
            Some(_) => return Err(ErrorCode::UnsupportedTransport),
        };
        let token = attributes.reservation_token;
        let (even, additional) = (attributes.even_port, attributes.additional_family);
        // TCP is for clients over streams, and neither ports of one's choice nor DONT-FRAGMENT go with
        // it (RFC 6062 §5.1); and one address.
        let over_udp = matches!(tuple.via, Via::Listener(_));
        let chooses = token.is_some() || even.is_some() || additional.is_some();
        let exclude = [
            transport == Transport::Tcp && (over_udp || chooses || attributes.dont_fragment),
            token.is_some() && (even.is_some() || attributes.requested_family.is_some()),
            token.is_some() && additional.is_some(),
            additional.is_some() && attributes.requested_family.is_some(),
            additional.is_some() && even.is_some_and(|even| even.reserve_next),
            // "The attribute value of 0x02 … is the only valid value" (RFC 8656 §18.11).
            additional.is_some_and(|family| family != Some(Family::V6)),
        ];
        if exclude.contains(&true) {
            return Err(ErrorCode::BadRequest);
        }
        let mobile = self.asks_for_mobility(request, transport == Transport::Udp)?;
        // Credentials that are over open nothing new; what they opened goes on.
        if identity.is_expired(now) {
            self.tell_wrong_credentials(tuple, request, WrongCredentials::Expired);
            return Err(ErrorCode::Unauthorized);
        }
        if self.common.shared.refuses(now, &identity) {
            self.tell_wrong_credentials(tuple, request, WrongCredentials::Revoked);
            return Err(ErrorCode::Unauthorized);
        }
        let mut second_family =
            if additional.is_some() { SecondFamily::V6 } else { SecondFamily::Nothing };
        let taken = match token {
            Some(token) => self.common.shared.redeem(token, &identity.user)?,
            None => {
                // "if … absent, the server … IPv4" (RFC 8656 §7.2), whatever the client came over.
                let family = match attributes.requested_family {
                    None => Family::V4,
                    Some(family) => family.ok_or(ErrorCode::AddressFamilyNotSupported)?,
                };
                match self.take(tuple, &identity.user, family, even) {
                    Err(code @ ErrorCode::InsufficientCapacity) if additional.is_some() => {
                        second_family = SecondFamily::Failed(code);
                        self.take(tuple, &identity.user, Family::V6, even).map_err(|_| code)?
                    }
                    taken => taken?,
                }
            }
        };
        if let Some(token) = taken.reserved {
            self.timers.set(now.instant + RESERVATION_LIFETIME, Timer::Reservation(token));
        }
        let lifetime = self.lifetime(now, &identity, attributes.lifetime);
        let opening = Opening {
            tuple,
            identity,
            transaction: request.transaction,
            fingerprint: request.fingerprint,
            lifetime,
            wanted: match (token, even) {
                (Some(_), _) => Wanted::Reserved,
                (None, Some(even)) => Wanted::Even(even),
                (None, None) => Wanted::Any,
            },
            taken,
            transport,
            attempts: 1,
            hears_icmp: attributes.dont_fragment || additional.is_some(),
            mobile,
            abandoned: false,
            second_family,
        };
        let id = AllocationId(self.slots.insert(Slot::Opening(Box::new(opening))) as u32);
        self.by_tuple.insert(tuple, id);
        self.grown();
        self.open_socket(id);
        Ok(None)
    }

    /// Takes a port on an address of a family.
    ///
    /// # Errors
    /// 440 if there is none of the family; 486 and 508 as [`Shared::take`](crate::Shared) says.
    pub(crate) fn take(
        &mut self,
        tuple: FiveTuple,
        user: &Arc<str>,
        family: Family,
        even: Option<EvenPort>,
    ) -> Result<Taken, ErrorCode> {
        let ip = self.common.addresses.choose(family, self.local_ip(tuple));
        let ip = ip.ok_or(ErrorCode::AddressFamilyNotSupported)?;
        self.common.shared.take(&mut self.rng, user, ip, even)
    }

    /// An Allocate where there is an allocation: the same transaction again gets the same success
    /// again, any other is a mismatch (RFC 8656 §7.2).
    fn allocate_again(
        &self,
        id: AllocationId,
        identity: &TurnIdentity,
        request: &Request<'_>,
    ) -> Result<Option<ResponseBuilder>, ErrorCode> {
        match &self.slots[id.0 as usize] {
            Slot::Opening(opening) if opening.transaction == request.transaction => Ok(None),
            Slot::Open(allocation)
                if allocation.transaction == request.transaction
                    && allocation.owner.username == identity.username =>
            {
                Ok(Some(self.success(allocation, request.fingerprint)))
            }
            _ => Err(ErrorCode::AllocationMismatch),
        }
    }

    /// Takes in the outcome of [`Output::OpenRelay`] or [`Output::ListenRelay`]: the socket is
    /// open, or the reason for which it cannot be. To be called exactly once for each of them; the
    /// client is answered now, or another port is asked for.
    pub fn relay_opened(&mut self, now: Now, id: AllocationId, result: Result<(), OpenError>) {
        let Some(Slot::Opening(opening)) = self.slots.get_mut(id.0 as usize) else {
            debug_assert!(false, "{id:?} was not being opened");
            return;
        };
        let outcome = match result {
            Err(OpenError::AddressInUse)
                if opening.wanted != Wanted::Reserved
                    && opening.attempts < MAX_ATTEMPTS
                    && !opening.abandoned =>
            {
                let wanted = match opening.wanted {
                    Wanted::Even(even) => Some(even),
                    _ => None,
                };
                match self.common.shared.exchange(&mut self.rng, opening.taken, wanted) {
                    Some(other) => {
                        opening.taken.port = other;
                        opening.attempts += 1;
                        self.open_socket(id);
                        return;
                    }
                    None => Err(ErrorCode::InsufficientCapacity),
                }
            }
            Err(_) => Err(ErrorCode::InsufficientCapacity),
            Ok(()) => Ok(()),
        };
        match (opening.second_family, outcome) {
            (SecondFamily::V6, outcome) => self.open_v6(now, id, outcome),
            (SecondFamily::Opened(first), Ok(())) => self.settle(now, first, Some(id)),
            (SecondFamily::Opened(first), Err(code)) => self.go_without_v6(now, first, id, code),
            (_, Ok(())) => self.settle(now, id, None),
            (_, Err(code)) => {
                let opening = Opening::clone(opening);
                self.give_back(&opening);
                self.refuse_allocate(now, id, code, false);
            }
        }
    }

    /// All sockets that can be had are open: the first, and the second of a dual allocation. The
    /// client gets its allocation, if it still may.
    pub(crate) fn settle(&mut self, now: Now, id: AllocationId, second: Option<AllocationId>) {
        let Some(Slot::Opening(opening)) = self.slots.get(id.0 as usize) else { return };
        let code = if opening.abandoned {
            // Nobody is left to use it.
            ErrorCode::AllocationMismatch
        } else if !self.common.shared.serve(now, &opening.identity) {
            // The call has ended in the meantime, or the user was kicked.
            ErrorCode::Unauthorized
        } else {
            return self.open(now, id, second);
        };
        let opening = Opening::clone(opening);
        self.give_back(&opening);
        if let Some(second) = second {
            self.drop_opening(second);
            self.outputs.push_back(Output::CloseRelay { allocation: second });
        }
        self.refuse_allocate(now, id, code, true);
    }

    /// Answers an Allocate with an error, if anybody is left to hear it; what was taken for it has
    /// been given back. `opened` says whether its socket is open.
    pub(crate) fn refuse_allocate(
        &mut self,
        now: Now,
        id: AllocationId,
        code: ErrorCode,
        opened: bool,
    ) {
        let Some(Slot::Opening(opening)) = self.slots.try_remove(id.0 as usize) else { return };
        if opened {
            self.outputs.push_back(Output::CloseRelay { allocation: id });
        }
        if opening.abandoned {
            return;
        }
        let Opening { tuple, transaction, fingerprint, ref identity, .. } = *opening;
        self.by_tuple.remove(&tuple);
        let method = Method::Allocate;
        let mut response = ResponseBuilder::error_to(method, transaction, fingerprint, code);
        if code == ErrorCode::Unauthorized {
            response = self.challenge(now, tuple, response);
        }
        let bytes = response.finish(Some(identity.key.expose()));
        self.answer(tuple, method, Err(code), bytes);
    }

    fn open(&mut self, now: Now, id: AllocationId, second: Option<AllocationId>) {
        let usage = Arc::new(Usage::default());
        let Some(Slot::Opening(opening)) = self.slots.get(id.0 as usize) else { return };
        let (fingerprint, mobile) = (opening.fingerprint, opening.mobile);
        self.install(now, id, second, &usage);
        if let Some(second) = second {
            self.install(now, second, Some(id), &usage);
        }
        if mobile {
            self.make_mobile(id);
        }
        let Ok(allocation) = self.open_ref(id) else { return };
        let (tuple, call) = (allocation.tuple, allocation.owner.call);
        let response = self.success(allocation, fingerprint);
        let bytes = response.finish(Some(allocation.owner.key.expose()));
        if let Some(call) = call {
            self.outputs.push_back(Output::Event(Event::AllocationOpened { call, usage }));
        }
        self.answer(tuple, Method::Allocate, Ok(()), bytes);
    }

    /// Makes an allocation of an address whose socket is open.
    fn install(
        &mut self,
        now: Now,
        id: AllocationId,
        twin: Option<AllocationId>,
        usage: &Arc<Usage>,
    ) {
        let Some(Slot::Opening(opening)) = self.slots.get(id.0 as usize) else { return };
        let opening = Opening::clone(opening);
        let Opening { tuple, transaction, lifetime, taken, transport, second_family, .. } = opening;
        let identity = opening.identity;
        let allocation = Allocation {
            tuple,
            transaction,
            lifetime,
            reserved: taken.reserved,
            ip: taken.ip,
            port: taken.port,
            relayed: self.common.addresses.advertise((taken.ip.0, taken.port).into()),
            opened: now.instant,
            expires: now.instant + lifetime,
            transport,
            connections: Vec::new(),
            permissions: Default::default(),
            channels: Default::default(),
            channel_of: Default::default(),
            usage: usage.clone(),
            limits: self.limits(now, &identity.user),
            owner: identity,
            hears_icmp: opening.hears_icmp,
            twin,
            mobility: None,
            missing: if let SecondFamily::Failed(code) = second_family { Some(code) } else { None },
        };
        self.timers.set(allocation.expires, Timer::Allocation(id));
        self.note_owner(id, &allocation.owner);
        let owner = Owner { worker: self.worker, allocation: id };
        self.common.relayed.open(taken.ip, taken.port, owner, transport);
        self.metrics.allocation_opened();
        self.slots[id.0 as usize] = Slot::Open(Box::new(allocation));
    }

    /// Gives back what was taken for an allocation that did not come to be.
    pub(crate) fn give_back(&mut self, opening: &Opening) {
        let Taken { ip, port, reserved } = opening.taken;
        self.common.shared.release(&opening.identity.user, ip, port);
        if let Some(token) = reserved {
            // Its timer finds nothing left to do.
            self.common.shared.expire(token);
        }
    }

    /// The lifetime that a client is given: what it asks for, between the default and the maximum
    /// (RFC 8656 §7.2), and no longer than its credentials bear.
    pub(crate) fn lifetime(
        &self,
        now: Now,
        identity: &TurnIdentity,
        requested: Option<u32>,
    ) -> Duration {
        let max = self.common.config.max_lifetime;
        let max = identity.time_left(now).map_or(max, |left| left.min(max));
        let requested = requested.map_or(DEFAULT_LIFETIME, |s| Duration::from_secs(s.into()));
        requested.clamp(DEFAULT_LIFETIME.min(max), max)
    }

    /// The success that an allocation is told with, the IPv4 address first.
    fn success(&self, allocation: &Allocation, fingerprint: bool) -> ResponseBuilder {
        let transaction: TransactionId = allocation.transaction;
        let mut response = ResponseBuilder::success_to(Method::Allocate, transaction, fingerprint)
            .relayed_address(allocation.relayed.0);
        if let Some((_, twin)) = self.twin(allocation) {
            response = response.relayed_address(twin.relayed.0);
        }
        response = response.mapped_address(allocation.tuple.client.0).lifetime(allocation.lifetime);
        if let Some(code) = allocation.missing {
            response = response.address_error(allocation.family().other(), code);
        }
        if let Some(mobility) = &allocation.mobility {
            response = response.mobility_ticket(mobility.ticket.bytes());
        }
        match allocation.reserved {
            Some(token) => response.reservation_token(token),
            None => response,
        }
    }
}
