//! The requests that are answered with an error, or not at all, though nothing is wrong with them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use callbox_base::{
    faults::{Injected, Injection, Selector},
    ids::CallId,
};
use callbox_stun::{ErrorCode, Method};

/// The fate of a request that a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFault {
    /// It is answered with this error, and has no other effect.
    Answer(ErrorCode),
    /// It is not answered, and has no effect.
    Silence,
}

/// A rule for the next requests of a method.
#[derive(Debug)]
pub struct RequestRule {
    selector: Selector,
    method: Method,
    fault: RequestFault,
    /// The number of requests that it is still for.
    left: AtomicU32,
}

impl RequestRule {
    /// Makes a rule for the next `count` requests of a method. A Binding request has no
    /// credentials, so that a rule for it must have a selector that is everybody.
    pub fn new(selector: Selector, method: Method, fault: RequestFault, count: u32) -> Self {
        Self { selector, method, fault, left: AtomicU32::new(count) }
    }

    /// Returns the number of requests that the rule is still for.
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Counts a request. Returns false if there were enough.
    fn take(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// The rules for requests of a server, which all its engines share.
#[derive(Debug)]
pub struct RequestFaults {
    rules: Vec<RequestRule>,
    injected: Arc<Injected>,
}

impl RequestFaults {
    /// Makes the rules, of which the first that matches a request and has not been used up applies.
    /// Faults are counted in `injected`.
    pub fn new(rules: Vec<RequestRule>, injected: Arc<Injected>) -> Self {
        Self { rules, injected }
    }

    /// Returns the rules, in their order.
    pub fn rules(&self) -> &[RequestRule] {
        &self.rules
    }

    /// Returns the fault of a request of this user, for this call if it is for one, if it has one.
    pub(crate) fn take(
        &self,
        method: Method,
        user: &str,
        call: Option<CallId>,
    ) -> Option<RequestFault> {
        let meant = |rule: &&RequestRule| {
            rule.method == method && rule.selector.includes(user, call) && rule.take()
        };
        let fault = self.rules.iter().find(meant)?.fault;
        self.injected.add(match fault {
            RequestFault::Answer(_) => Injection::RequestAnswered,
            RequestFault::Silence => Injection::RequestSilenced,
        });
        Some(fault)
    }
}
