//! The steps that the relay tells: to which call each belongs, and what a trace has of it.

use std::net::SocketAddr;

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use callbox_turn::{
    Direction, FiveTuple, TraceOwner, TraceStep, Traced, TracedRequest, Via, faults::Method,
};

use super::{
    details::{Transport, TurnFate, Way},
    document::What,
    store::Traces,
};

fn way(direction: Direction) -> Way {
    match direction {
        Direction::Up => Way::ToPeer,
        Direction::Down => Way::ToClient,
    }
}

fn transport(client: FiveTuple) -> Transport {
    match client.via {
        Via::Listener(_) => Transport::Udp,
        Via::Stream(_) => Transport::Tcp,
    }
}

/// Adds a step of the relay to the trace of its call, if it has one.
pub fn relay_step(traces: &Traces, now: Now, traced: Traced) {
    let Traced { client, owner, step } = traced;
    let Some(owner) = owner else {
        let is_binding = |request: &TracedRequest| request.method == Method::Binding;
        if matches!(&step, TraceStep::Answered { request, result: Ok(()), .. } if is_binding(request))
        {
            traces.binding(now, client.client.0, transport(client));
        }
        return;
    };
    let Some((call, user)) = call_of(traces, &owner) else { return };
    traces.client_seen(call, &user, client.client.0);
    traces.add(now, call, what(client, user, step), false);
}

/// Returns the call that a step belongs to: the one that the credentials are for, or the only one
/// of the user. A name that was not proved counts for a user who is in the call already.
fn call_of(traces: &Traces, owner: &TraceOwner) -> Option<(CallId, UserId)> {
    let user = UserId::new(&owner.user).ok()?;
    let call = match owner.call {
        Some(call) => call,
        None => traces.only_call_of(&user)?,
    };
    (owner.is_proved || traces.includes(call, &user)).then_some((call, user))
}

fn what(client: FiveTuple, user: UserId, step: TraceStep) -> What {
    match step {
        TraceStep::Answered { request, result, refusal, relayed, injected } => {
            let fault = injected.then_some(TurnFate::Answered);
            let refusal = refusal.map(|refusal| refusal.reason().to_owned());
            let error = result.err().map(|code| code.number());
            turn(client, user, request, Outcome { error, refusal, relayed, fault })
        }
        TraceStep::Silenced(request) => {
            let fault = Some(TurnFate::Silenced);
            turn(client, user, request, Outcome { fault, ..Outcome::default() })
        }
        TraceStep::PermissionExpired(ip) => What::Expired { user, peer: Some(ip), channel: None },
        TraceStep::ChannelExpired(number) => {
            What::Expired { user, peer: None, channel: Some(number) }
        }
        TraceStep::FirstPacket { direction, peer } => {
            What::FirstPacket { user, direction: way(direction), peer }
        }
        TraceStep::FirstRefused { direction, peer, reason } => What::FirstRefusedPacket {
            user,
            direction: way(direction),
            peer,
            reason: reason.label().to_owned(),
        },
        TraceStep::FirstLost(direction) => {
            What::FirstLostPacket { user, direction: way(direction) }
        }
        TraceStep::Closed { reason, bytes_up, bytes_down, refused, lost } => {
            What::AllocationClosed {
                user,
                reason: reason.to_string(),
                bytes_up,
                bytes_down,
                refused_packets: refused.iter().sum(),
                lost_packets: lost.iter().sum(),
            }
        }
    }
}

/// The outcome of a request.
#[derive(Default)]
struct Outcome {
    error: Option<u16>,
    refusal: Option<String>,
    relayed: Option<SocketAddr>,
    fault: Option<TurnFate>,
}

fn turn(client: FiveTuple, user: UserId, request: TracedRequest, outcome: Outcome) -> What {
    let TracedRequest { method, peers, channel, lifetime } = request;
    let Outcome { error, refusal, relayed, fault } = outcome;
    What::Turn {
        user,
        client: client.client.0,
        transport: transport(client),
        method: method.label().to_owned(),
        error,
        refusal,
        relayed,
        peers,
        channel,
        lifetime,
        fault,
    }
}
