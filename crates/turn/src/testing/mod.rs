//! A server made of the production core, with virtual time and a network in memory, and clients
//! that speak to it with the `stun` crate's messages.

mod answer;
mod attributes;
mod client;
mod network;
mod world;

pub(crate) use self::{answer::*, attributes::*, client::*, network::*, world::*};

/// The realm of every world.
pub(crate) const REALM: &str = "test";
