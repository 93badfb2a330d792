//! Faults that tests ask for: requests that are answered with an error or not at all, and
//! credentials that are over before their time.
//!
//! A driver makes one [`RequestFaults`] and gives it to every engine
//! ([`Engine::set_request_faults`](crate::Engine::set_request_faults)), so that "the next three
//! requests" are three in all. Nothing here is random or reads a clock.

mod expired_credentials;
mod request_faults;

pub use callbox_base::faults::{Injected, Injection, Selector};
pub use callbox_stun::Method;

pub(crate) use self::expired_credentials::ExpiredCredentials;
pub use self::request_faults::{RequestFault, RequestFaults, RequestRule};
