//! The relay's checklist, on the production core with virtual time.

mod access_tokens;
mod bandwidth;
mod channels;
mod connections;
mod credentials;
mod data;
mod dual_stack;
mod ended;
mod faults;
mod fragments;
mod icmp;
mod kicks;
mod lifetimes;
mod mobility;
mod password_algorithms;
mod peer_model;
mod ports;
mod quotas;
mod reply_limits;
mod requests;
mod signaled_policy;
mod simulation;
mod traces;

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::*, uattrs::UnknownAttributes};
use ::turn::proto::data::Data;
use callbox_base::ids::CallId;
use callbox_stun::{Packet, roomy};
use rand::{SeedableRng, rngs::StdRng};

use crate::{testing::*, *};

const ALICE: &str = "198.51.100.1:4000";
const BOB: &str = "198.51.100.2:4000";
const PEER: &str = "8.8.8.8:7000";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn call(n: u64) -> CallId {
    CallId::generate(n, &mut StdRng::seed_from_u64(n))
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
