//! The TURN core: allocations, permissions, channels and routes, with no I/O in it.
//!
//! A worker of `relay` owns one [`Engine`] and drives it: datagrams from clients go to
//! [`Engine::handle_client`], datagrams from peers to [`Engine::handle_peer`], and what has to be done
//! comes out of [`Engine::poll_output`]. A packet on its way through follows one route and causes no
//! output. Workers share nothing but [`Shared`], which is touched when an allocation opens or
//! closes, and never for a packet.
#![forbid(unsafe_code)]

pub mod auth;

mod addresses;
mod allocation;
mod changed_addresses;
mod common;
mod config;
mod connections;
mod discovery;
mod dual_stack;
mod ended;
mod engine;
mod icmp;
mod limits;
mod machine;
mod methods;
mod metrics;
mod mobility;
mod output;
mod own_addresses;
mod peer_policy;
mod ports;
mod rate;
mod relayed;
mod reply_limit;
mod revocation;
mod routes;
mod shared;
mod signaled_policy;
mod sorted_map;
mod special_ranges;
mod streams;

#[cfg(test)]
mod access_token_tests;
#[cfg(test)]
mod channel_tests;
#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod dual_stack_tests;
#[cfg(test)]
mod ended_tests;
#[cfg(test)]
mod fragment_tests;
#[cfg(test)]
mod icmp_tests;
#[cfg(test)]
mod kick_tests;
#[cfg(test)]
mod mobility_tests;
#[cfg(test)]
mod password_algorithm_tests;
#[cfg(test)]
mod peer_model_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

// The types of other crates that stand in this one's API.
pub use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::{CallId, ClientAddr, PeerAddr, RelayedAddr, UserId},
    usage::Usage,
};
pub use callbox_stun::{Frame, HEADROOM, Icmp, MAX_FRAME, Packet, Response};
pub use ipnet::IpNet;

pub use addresses::{RelayAddresses, RelayIp};
pub use allocation::AllocationId;
pub use common::Common;
pub use config::{Config, ExternalIp, ExternalIpError};
pub use connections::{ConnectionId, MAX_WORKERS};
pub use discovery::Quartet;
pub use ended::{EndReason, Ended};
pub use engine::Engine;
pub use metrics::{DropReason, Metrics, Snapshot, StreamEnd};
pub use output::{Event, FiveTuple, MAX_LOGGED_NAME, OpenError, Output, Via};
pub use peer_policy::PeerPolicy;
pub use rate::Direction;
pub use relayed::Owner;
pub use routes::{FromClient, FromPeer, HandOver};
pub use shared::Shared;
pub use streams::StreamId;
