//! The base of callbox's other crates: clocks and timers, ids, addresses, text that people have
//! written, secrets, and the TURN credentials that signaling mints and the relay verifies.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod auth;
pub mod clock;
pub mod deadline;
pub mod entries;
pub mod expiring_map;
pub mod faults;
pub mod ids;
pub mod text;
pub mod throttle;
pub mod token_bucket;
pub mod usage;
