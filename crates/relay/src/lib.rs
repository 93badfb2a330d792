//! The data plane: one worker per CPU core, each with its own sockets and its own allocations,
//! driving the engine of [`callbox_turn`].
//!
//! A worker is one OS thread around one `epoll` (kqueue, IOCP): it reads what is ready into the
//! slots of its one buffer, asks the engine for the destination of each datagram, and sends the
//! datagrams from their slots. On that path there is no lock, no heap allocation and no log line.
//! With several workers each listener is bound once for each of them (`SO_REUSEPORT`), and the
//! kernel always delivers a client's datagrams to the same one.
#![forbid(unsafe_code)]

mod address_watch;
mod advertised;
mod alternate;
mod batches;
mod coalesce;
mod commands;
mod config;
mod external;
mod forwarding;
mod hot_peer;
mod listen;
mod listeners;
mod log_lines;
mod log_throttle;
mod losses;
mod new_stream;
mod open_runs;
mod outage;
mod outgoing;
mod packet_faults;
mod peer_connection;
mod peer_connections;
mod plan;
mod ready;
mod relay;
mod relay_sockets;
mod sockets;
mod source;
mod start_error;
mod stream;
mod stream_activity;
mod stream_output;
mod streams;
mod supervisor;
mod worker;
mod worker_handle;
mod worker_ring;

use std::sync::Arc;

use callbox_turn::Event;

pub use self::{
    advertised::ListenerAddresses,
    commands::FaultTask,
    config::{Config, GATHER},
    listen::{takes_ipv4, with_ipv4},
    new_stream::NewStream,
    packet_faults::{FaultPlan, PacketRule},
    plan::{Plan, probe},
    relay::Relay,
    sockets::{listen_tcp, listen_tcp_dual},
    start_error::{StartError, bind_hint},
    worker_handle::Closing,
};

/// The handler of the engines' events, which every worker calls.
pub type OnEvent = Arc<dyn Fn(Event) + Send + Sync>;
