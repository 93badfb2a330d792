//! The orders to the relay that end with a number.

use std::{future::Future, pin::Pin, sync::Arc};

use callbox_base::{
    clock::Now,
    faults::Selector,
    ids::{CallId, UserId},
};
use callbox_relay::FaultTask;

/// Makes the relay close what a user has: everything, or what is for no call and for these calls.
/// The user's credentials are refused once this returns; the result is the number of allocations
/// that were closed, once they are.
pub type KickFromRelay =
    Arc<dyn Fn(Now, &UserId, Option<&[CallId]>) -> AllocationCount + Send + Sync>;

/// A number of allocations, once the order is executed.
pub type AllocationCount = Pin<Box<dyn Future<Output = usize> + Send>>;

/// A fault that the relay is to inject.
pub enum RelayFault {
    /// One of its own.
    Task(FaultTask),
    /// The credentials of a selector are over.
    ExpireCredentials(Now, Selector),
}

/// Makes the relay inject a fault. The result is the number of allocations that it concerns, once
/// it is injected.
pub type InjectIntoRelay = Box<dyn Fn(RelayFault) -> AllocationCount + Send + Sync>;
