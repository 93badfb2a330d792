//! callbox: STUN, TURN and WebRTC call signaling in one process.
//!
//! The server's shell around the crates in `crates/`, from the ground up:
//!
//! | module | what lives there |
//! |---|---|
//! | [`state_dir`], [`state_log`] | files that outlast the process; values by key that outlast it however it ends |
//! | [`https`] | HTTP as a client |
//! | [`reports`] | what others than clients are told of calls |
//! | [`http`] | the axum app: both signaling fronts, REST, pages, metrics |
//! | [`acceptor`] | every TCP listener: whose connection is it, TLS, certificates |
//! | [`config`], [`server`] | flags, environment and file; start, wiring and stop |
//! | [`documents`] | what programs read of the API: made from its types |
//! | [`commands`] | what the binary can do, one file each |
//!
//! `docs/architecture.md` has the drawing.
#![forbid(unsafe_code)]

pub mod acceptor;
pub mod commands;
pub mod config;
pub mod documents;
pub mod http;
pub mod https;
pub mod reports;
pub mod server;
pub mod state_dir;
pub mod state_log;
