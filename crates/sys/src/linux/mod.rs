//! `recvmmsg`, `sendmmsg`, `UDP_GRO` and `UDP_SEGMENT`; namespaces and packet sockets.
#![allow(unsafe_code, reason = "system calls that no maintained crate offers in a safe form")]

mod address;
mod address_changes;
mod errors;
mod fragments;
mod namespaces;
mod options;
mod packet_socket;
mod receive;
mod send;
#[cfg(test)]
mod tests;

pub use address_changes::{AddressChanges, own_networks};
pub use errors::{keep_errors, next_error};
pub use fragments::{CAN_FORBID_FRAGMENTS, send_dont_fragment};
pub use namespaces::{enter_new_mounts, enter_new_network, isolate, peer_user};
pub use options::{
    count_lost, enable_gro, raise_open_files, sleep_precisely, tell_class, thread_time,
};
pub use packet_socket::PacketSocket;
pub use receive::ReceiveBatch;
pub use send::SendBatch;

/// Room for three control messages: on receive, the segment size, the number of lost datagrams, and
/// the class; on send, the segment size, and the class for either family.
const CONTROL: usize = 72;

/// A control buffer, with the alignment that the kernel requires.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);
