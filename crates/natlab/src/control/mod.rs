//! The conversation between a command and the manager of a lab.

mod address;
mod channel;
mod messages;

pub(crate) use self::{
    address::{LabName, all_names, check_peer},
    channel::Channel,
    messages::{Description, Request, Response, Spawn},
};

pub use self::messages::Exit;
