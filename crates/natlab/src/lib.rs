//! `callbox natlab`: networks with NATs of a chosen kind on one Linux machine, and programs in them.
//!
//! A [`Lab`] has sides. Each is a host with one interface and its way to a public network: a NAT of
//! a [`Kind`], two in a row, a firewall, or nothing. In the public network there is a STUN, TURN and
//! signaling server. The parts are network namespaces, veth pairs and rules of nftables, which
//! belong to processes in a PID namespace of their own: when the process that has the lab ends,
//! even by `kill -9`, the kernel ends all of them, and nothing is left.
//!
//! ```no_run
//! use callbox_natlab::{Lab, Plan, Task};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut plan = Plan::pair("symmetric".parse()?, "port-restricted,hairpin".parse()?);
//! plan.executable("/usr/local/bin/callbox".as_ref());
//! let lab = Lab::start(&plan)?;
//! let mut task = Task::new("my-peer");
//! task.args(["--call", "b"]);
//! let mut peer = lab.spawn("a", task)?;
//! assert!(peer.wait()?.success());
//! # Ok(())
//! # }
//! ```
//!
//! On other systems than Linux there is only the command, which says so.
#![forbid(unsafe_code)]

mod error;

#[cfg(target_os = "linux")]
mod action;
#[cfg(target_os = "linux")]
mod addresses;
#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod control;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod kind;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod manager;
#[cfg(target_os = "linux")]
mod matrix;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod quality;
#[cfg(target_os = "linux")]
mod scratch;
#[cfg(target_os = "linux")]
mod stages;
#[cfg(target_os = "linux")]
mod topology;
#[cfg(target_os = "linux")]
mod verify;

#[cfg(not(target_os = "linux"))]
pub use self::elsewhere::{NatlabArgs, run};
pub use self::error::LabError;
#[cfg(target_os = "linux")]
pub use self::{
    action::{Action, ActionError, Protocol},
    commands::{NatlabArgs, run},
    control::Exit,
    kind::{Access, Behavior, Kind, KindError, Nat, Ports},
    lab::Lab,
    matrix::{Cell, Path, Table, predict},
    plan::{Plan, ServerChoice},
    process::{Killer, Process, Stream, Task},
    quality::{Change, Quality, Rate, Share},
};
