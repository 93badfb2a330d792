//! Allocate (RFC 8656 §7.2): a relayed address for a client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::turn::proto::{PROTO_TCP, PROTO_UDP, Protocol};

use crate::{
    auth::TurnIdentity,
    clock::Now,
    stun::{ErrorCode, Family, Method, Request, ResponseBuilder, TransactionId},
    turn::{
        AllocationId, Engine, Event, FiveTuple, OpenError, Output, Owner, Via,
        allocation::{
            Allocation, DEFAULT_LIFETIME, Opening, RESERVATION_LIFETIME, Slot, Transport,
        },
        engine::Timer,
        shared::Taken,
    },
    usage::Usage,
};

/// How many ports are tried before the server says that it has none: something else on the
/// machine may hold a few of the range.
const MAX_ATTEMPTS: u32 = 16;

impl Engine {
    /// Checks the request and has the socket opened; the answer follows in
    /// [`Engine::relay_opened`]. `None` where there is nothing to say yet.
    pub(in crate::turn) fn allocate(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        identity: TurnIdentity,
        request: &Request<'_>,
    ) -> Result<Option<ResponseBuilder>, ErrorCode> {
        if let Some(id) = self.by_tuple.get(&tuple) {
            return self.allocate_again(*id, &identity, request);
        }
        let attributes = &request.attributes;
        let transport = match attributes.requested_transport.map(Protocol) {
            None => return Err(ErrorCode::BadRequest),
            Some(PROTO_UDP) => Transport::Udp,
            Some(PROTO_TCP) => Transport::Tcp,
            Some(_) => return Err(ErrorCode::UnsupportedTransport),
        };
        let token = attributes.reservation_token;
        // "… the client connection … over UDP … 400"; no ports of one's choice (RFC 6062 §5.1).
        let over_udp = matches!(tuple.via, Via::Listener(_));
        let chooses = token.is_some() || attributes.even_port.is_some();
        if transport == Transport::Tcp && (over_udp || chooses) {
            return Err(ErrorCode::BadRequest);
        }
        let wants_both = attributes.even_port.is_some() || attributes.requested_family.is_some();
        if token.is_some() && wants_both {
            return Err(ErrorCode::BadRequest);
        }
        // Credentials that are over open nothing new; what they opened goes on.
        if identity.is_expired(now) || self.has_ended(&identity) {
            return Err(ErrorCode::Unauthorized);
        }
        let taken = match token {
            Some(token) => self.common.shared.redeem(token, &identity.user)?,
            None => {
                // "if … absent, the server … IPv4" (RFC 8656 §7.2), whatever the client came over.
                let family = match attributes.requested_family {
                    None => Family::V4,
                    Some(family) => family.ok_or(ErrorCode::AddressFamilyNotSupported)?,
                };
                let ip = self.common.addresses.choose(family, self.local_ip(tuple));
                let ip = ip.ok_or(ErrorCode::AddressFamilyNotSupported)?;
                self.common.shared.take(&mut self.rng, &identity.user, ip, attributes.even_port)?
            }
        };
        if let Some(token) = taken.reserved {
            self.timers.set(now.instant + RESERVATION_LIFETIME, Timer::Reservation(token));
        }
        let opening = Opening {
            tuple,
            identity,
            transaction: request.transaction,
            fingerprint: request.fingerprint,
            lifetime: self.lifetime(attributes.lifetime),
            any_port: token.is_none() && attributes.even_port.is_none(),
            taken,
            transport,
            attempts: 1,
            abandoned: false,
        };
        let address = (opening.taken.ip.0, opening.taken.port).into();
        let id = AllocationId(self.slots.insert(Slot::Opening(Box::new(opening))) as u32);
        self.by_tuple.insert(tuple, id);
        self.grown();
        self.open_relay(transport, id, address);
        Ok(None)
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
                Ok(Some(success(allocation, request.fingerprint)))
            }
            _ => Err(ErrorCode::AllocationMismatch),
        }
    }

    /// The socket that [`Output::OpenRelay`] asked for is open, or cannot be opened. Only now the
    /// client hears of it.
    pub fn relay_opened(&mut self, now: Now, id: AllocationId, result: Result<(), OpenError>) {
        let Some(Slot::Opening(opening)) = self.slots.get_mut(id.0 as usize) else {
            debug_assert!(false, "{id:?} was not being opened");
            return;
        };
        let outcome = match result {
            Err(OpenError::AddressInUse)
                if opening.any_port && opening.attempts < MAX_ATTEMPTS && !opening.abandoned =>
            {
                let Taken { ip, port, .. } = opening.taken;
                match self.common.shared.exchange(&mut self.rng, ip, port) {
                    Some(other) => {
                        opening.taken.port = other;
                        opening.attempts += 1;
                        let transport = opening.transport;
                        self.open_relay(transport, id, (ip.0, other).into());
                        return;
                    }
                    None => Err(ErrorCode::InsufficientCapacity),
                }
            }
            Err(_) => Err(ErrorCode::InsufficientCapacity),
            // Nobody is left to use it.
            Ok(()) if opening.abandoned => Err(ErrorCode::AllocationMismatch),
            // The call may have ended in the meantime.
            Ok(()) => {
                let call = opening.identity.call;
                let ended = call.is_some_and(|call| self.common.shared.has_ended(call));
                if ended { Err(ErrorCode::Unauthorized) } else { Ok(()) }
            }
        };
        let opening = Opening::clone(opening);
        match outcome {
            Ok(()) => self.open(now, id, opening),
            Err(code) => {
                self.slots.remove(id.0 as usize);
                if !opening.abandoned {
                    self.by_tuple.remove(&opening.tuple);
                }
                if result.is_ok() {
                    self.outputs.push_back(Output::CloseRelay { allocation: id });
                }
                self.give_back(&opening);
                if opening.abandoned {
                    return;
                }
                let Opening { tuple, transaction, fingerprint, ref identity, .. } = opening;
                let method = Method::Allocate;
                let mut response =
                    ResponseBuilder::error_to(method, transaction, fingerprint, code);
                if code == ErrorCode::Unauthorized {
                    response = self.challenge(now, tuple, response);
                }
                let bytes = response.finish(Some(identity.key.expose()));
                self.answer(tuple, method, Err(code), bytes);
            }
        }
    }

    fn open_relay(&mut self, transport: Transport, allocation: AllocationId, address: SocketAddr) {
        self.outputs.push_back(match transport {
            Transport::Udp => Output::OpenRelay { allocation, address },
            Transport::Tcp => Output::ListenRelay { allocation, address },
        });
    }

    fn open(&mut self, now: Now, id: AllocationId, opening: Opening) {
        let Opening {
            tuple, identity, transaction, fingerprint, lifetime, taken, transport, ..
        } = opening;
        let allocation = Allocation {
            tuple,
            transaction,
            lifetime,
            reserved: taken.reserved,
            ip: taken.ip,
            port: taken.port,
            relayed: self.common.addresses.advertise((taken.ip.0, taken.port).into()),
            expires: now.instant + lifetime,
            transport,
            connections: Vec::new(),
            permissions: Default::default(),
            channels: Default::default(),
            channel_of: Default::default(),
            usage: Arc::new(Usage::default()),
            bandwidth: self.bandwidth(now, &identity.user),
            owner: identity,
        };
        self.timers.set(allocation.expires, Timer::Allocation(id));
        if let Some(call) = allocation.owner.call {
            self.by_call.entry(call).or_default().push(id);
            let usage = allocation.usage.clone();
            self.outputs.push_back(Output::Event(Event::AllocationOpened { call, usage }));
        }
        let owner = Owner { worker: self.worker, allocation: id };
        self.common.relayed.open(taken.ip, taken.port, owner);
        self.metrics.allocation_opened();
        let response = success(&allocation, fingerprint);
        let bytes = response.finish(Some(allocation.owner.key.expose()));
        self.slots[id.0 as usize] = Slot::Open(Box::new(allocation));
        self.answer(tuple, Method::Allocate, Ok(()), bytes);
    }

    /// Gives back what was taken for an allocation that did not come to be.
    fn give_back(&mut self, opening: &Opening) {
        let Taken { ip, port, reserved } = opening.taken;
        self.common.shared.release(&opening.identity.user, ip, port);
        if let Some(token) = reserved {
            // Its timer finds nothing left to do.
            self.common.shared.expire(token);
        }
    }

    fn has_ended(&self, identity: &TurnIdentity) -> bool {
        identity.call.is_some_and(|call| self.common.shared.has_ended(call))
    }

    /// The lifetime that a client is given: what it asks for, between the default and the maximum
    /// (RFC 8656 §7.2).
    pub(in crate::turn) fn lifetime(&self, requested: Option<u32>) -> Duration {
        let max = self.common.config.max_lifetime;
        let requested = requested.map_or(DEFAULT_LIFETIME, |s| Duration::from_secs(s.into()));
        requested.clamp(DEFAULT_LIFETIME.min(max), max)
    }
}

fn success(allocation: &Allocation, fingerprint: bool) -> ResponseBuilder {
    let transaction: TransactionId = allocation.transaction;
    let response = ResponseBuilder::success_to(Method::Allocate, transaction, fingerprint)
        .relayed_address(allocation.relayed.0)
        .mapped_address(allocation.tuple.client.0)
        .lifetime(allocation.lifetime);
    match allocation.reserved {
        Some(token) => response.reservation_token(token),
        None => response,
    }
}
