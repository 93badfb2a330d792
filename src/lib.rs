//! callbox: STUN, TURN and WebRTC call signaling in one process.
//!
//! The layers, from the ground up; a layer imports only from layers below it:
//!
//! | layer | module | what lives there |
//! |---|---|---|
//! | 0 | [`ids`], [`clock`], [`usage`], [`stun`] | names, time, counters, the wire format |
//! | 0 | [`addresses`] | one form for each address, lists of networks |
//! | 0 | [`state_dir`] | files that outlast the process |
//! | 0 | [`state_log`] | what outlasts the process however that ends |
//! | 0 | [`throttle`] | how many lines of the log a stranger may cause |
//! | 0 | [`text`], [`pem`] | what people have written: text without what editors add, certificates and keys |
//! | 0 | [`sys`] | many datagrams in one system call |
//! | 0 | [`https`] | HTTP as a client |
//! | 1 | [`auth`] | every secret: TURN credentials, nonces, tokens |
//! | 2 | [`turn`], [`signaling`] | the two cores, with no I/O in them |
//! | 3 | [`relay`] | the data plane: workers and sockets, driving `turn` |
//! | 3 | [`reports`] | what others than clients are told of calls |
//! | 4 | [`http`] | the axum app: both signaling fronts, REST, pages, metrics |
//! | 5 | [`acceptor`] | every TCP listener: whose connection is it, TLS, certificates |
//! | 5 | [`config`], [`server`] | flags, environment and file; start, wiring and stop |
//! | 5 | [`documents`] | what programs read of the API: made from its types |
//! | 6 | [`commands`] | what the binary can do, one file each |
//!
//! `docs/architecture.md` has the drawing.
#![forbid(unsafe_code)]

pub mod acceptor;
pub mod commands;
pub mod config;
pub mod documents;
pub mod http;
pub mod https;
pub mod pem;
pub mod reports;
pub mod server;
pub mod state_dir;
pub mod state_log;
