//! `recvmmsg`, `sendmmsg`, `UDP_GRO` and `UDP_SEGMENT`.
#![allow(unsafe_code, reason = "system calls that no kept crate makes in batches")]

mod address;
mod address_changes;
mod errors;
mod fragments;
mod options;
mod receive;
mod send;
#[cfg(test)]
mod tests;

pub use address_changes::{AddressChanges, own_networks};
pub use errors::{keep_errors, next_error};
pub use fragments::{CAN_FORBID_FRAGMENTS, send_dont_fragment};
pub use options::{
    count_lost, enable_gro, raise_open_files, sleep_precisely, tell_class, thread_time,
};
pub use receive::ReceiveBatch;
pub use send::SendBatch;

/// Room for three control messages: of what is received, the segment size, how many datagrams were
/// lost, and the class; of what is sent, the segment size, and the class for either family.
const CONTROL: usize = 72;

/// A control buffer, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);
