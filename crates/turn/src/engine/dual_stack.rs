//! Dual allocations (RFC 8656 §7.2): an IPv4 and an IPv6 address for one client.
//!
//! Each of the two is an allocation of its own, with its own socket, its own life, permissions and
//! channels. The client's 5-tuple leads to the first that is left, and that one knows its twin. So
//! a packet from a peer finds its way as ever, and one to a peer looks at a twin only where there
//! is one.

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, EvenPort, Family};

use super::{Engine, opening};
use crate::{
    AllocationId,
    allocations::{Opening, Wanted},
};

/// Opens the IPv6 address once it is known what becomes of the IPv4 one, `v4`. Whichever of them
/// can be had is given (RFC 8656 §7.2).
pub(super) fn open_v6(engine: &mut Engine, now: Now, id: AllocationId, v4: Result<(), ErrorCode>) {
    let Some(first) = engine.allocations.opening(id) else { return };
    let first = Opening::clone(first);
    if v4.is_err() {
        // Before another is taken, so that it does not count twice.
        opening::give_back(engine, id);
    }
    // EVEN-PORT holds for both; it comes without R here.
    let even = matches!(first.request().wanted, Wanted::Even(_));
    let even = even.then_some(EvenPort { reserve_next: false });
    let request = first.request();
    let v6 = opening::take_port(engine, request.tuple, &request.identity.user, Family::V6, even);
    match (v4, v6) {
        (Ok(()), Ok(taken)) => {
            let second = engine.allocations.insert_second(first.second(id, taken));
            opening::open_socket(engine, second);
        }
        (Ok(()), Err(code)) => settle_with_one(engine, now, id, code),
        (Err(code), Ok(taken)) => {
            if let Some(opening) = engine.allocations.opening_mut(id) {
                opening.lacks_other(code);
                opening.start_over(taken);
            }
            opening::open_socket(engine, id);
        }
        (Err(code), Err(_)) => opening::refuse(engine, now, id, code, false),
    }
}

/// Gives the client the IPv4 address alone, since the IPv6 one cannot be had.
pub(super) fn go_without_v6(
    engine: &mut Engine,
    now: Now,
    first: AllocationId,
    second: AllocationId,
    code: ErrorCode,
) {
    opening::cancel(engine, second);
    settle_with_one(engine, now, first, code);
}

fn settle_with_one(engine: &mut Engine, now: Now, id: AllocationId, code: ErrorCode) {
    if let Some(opening) = engine.allocations.opening_mut(id) {
        opening.lacks_other(code);
    }
    opening::settle(engine, now, id, None);
}
