//! callbox: STUN, TURN and WebRTC call signaling in one process.
//!
//! The server around the crates in `crates/`, lowest layer first:
//!
//! | module | contents |
//! |---|---|
//! | [`state_dir`], [`state_log`] | files and values by key that outlast the process |
//! | [`https`] | HTTP as a client |
//! | [`reports`] | records of calls and webhooks |
//! | [`http`] | the axum app: both signaling fronts, REST, pages, metrics |
//! | [`acceptor`] | the TCP listeners, TLS and its certificates |
//! | [`config`], [`server`] | flags, environment and file; start, wiring and stop |
//! | [`documents`] | the documents of the API, generated from its types |
//! | [`commands`] | the commands of the binary |
//! | [`trace`] | the steps of a call, as the server saw them |
//! | [`testing`] | a server inside the process of a test |
//!
//! `docs/architecture.md` has the drawing.
#![forbid(unsafe_code)]

pub mod acceptor;
pub mod commands;
pub mod config;
pub mod documents;
pub mod faults;
pub mod http;
pub mod https;
pub mod reports;
pub mod server;
pub mod state_dir;
pub mod state_log;
pub mod testing;
pub mod trace;
