//! The tests of the server over real sockets, and those of the repository: one module for each
//! subject, in one binary, so that a change is linked once.
//!
//! Two tests are binaries of their own, since other tests in the same process would disturb them:
//! `no_allocations` has a global allocator that counts, and `relay_memory` measures the memory of
//! its own process. Tests that need limits or a network of their own set these for a process that
//! they start.

#![allow(clippy::unwrap_used, reason = "a helper of tests that fails shows where")]
#![cfg_attr(not(feature = "tools"), allow(dead_code, reason = "tests of the tools use the rest"))]

mod acme;
mod acme_server;
mod addresses;
mod attack_defaults;
mod attack_forged_udp;
mod attack_http2;
mod attack_kick;
mod attack_own_addresses;
mod attack_streams;
mod call_log;
mod call_records;
#[cfg(feature = "tools")]
mod cli;
mod common;
#[cfg(feature = "tools")]
mod config_errors;
#[cfg(feature = "tools")]
mod conformance;
mod cors;
mod coturn_tools;
mod crash;
mod every_address;
mod examples;
#[cfg(target_os = "linux")]
mod exit_with_parent;
mod faults;
mod force_relay;
mod fuzzing;
mod icmp_errors;
mod interop_coturn;
mod interop_streams;
mod interop_webrtc;
mod layers;
mod limits;
#[cfg(feature = "tools")]
mod load;
#[cfg(feature = "tools")]
mod load_calls;
mod log_secrets;
mod long_messages;
mod mobility;
mod module_structure;
mod nat_discovery;
#[cfg(all(feature = "tools", target_os = "linux"))]
mod natlab;
#[cfg(all(feature = "tools", target_os = "linux"))]
mod natlab_matrix;
mod out_of_files;
mod proxies;
mod public_uris;
mod relay;
mod relay_batches;
mod relay_log;
mod rest;
mod restart;
mod resume;
mod reverse_proxy;
mod rooms;
mod shutdown;
mod signaled_peers;
mod signaling;
mod socketio_front;
mod stall;
mod streams;
mod support;
mod tcp_allocations;
mod testing;
#[cfg(feature = "tools")]
mod tls;
mod tokens;
mod trace;
mod traffic_class;
mod trusted_proxy;
mod turn_client;
mod webhook;
mod websocket;
#[cfg(feature = "tools")]
mod wrong_server;
