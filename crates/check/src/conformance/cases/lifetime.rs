//! LIFETIME in Allocate and Refresh: the server computes it the same way in both (RFC 8656 §7.2,
//! §8.2).

use ::stun::attributes::ATTR_LIFETIME;

use super::super::{
    case::Case,
    client::Client,
    request::Request,
    target::Target,
    verdict::{Step, Verdict, ensure},
};

/// The default lifetime, in seconds (RFC 8656 §6).
const DEFAULT: u32 = 600;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "lifetime/default",
        "RFC 8656 §7.2",
        "without LIFETIME an allocation lives for 600 s",
        |target| allocated(target, None, DEFAULT, DEFAULT),
    ),
    Case::new(
        "lifetime/short",
        "RFC 8656 §7.2",
        "a LIFETIME below the default gives the default",
        |target| allocated(target, Some(1), DEFAULT, DEFAULT),
    ),
    Case::new(
        "lifetime/zero",
        "RFC 8656 §7.2",
        "a LIFETIME of 0 in an Allocate gives the default",
        |target| allocated(target, Some(0), DEFAULT, DEFAULT),
    ),
    Case::new(
        "lifetime/longer",
        "RFC 8656 §7.2",
        "a LIFETIME above the default gives it, or the server's maximum",
        |target| allocated(target, Some(1000), DEFAULT, 1000),
    ),
    Case::new(
        "lifetime/endless",
        "RFC 8656 §7.2",
        "the longest LIFETIME gives the server's maximum",
        |target| allocated(target, Some(u32::MAX), DEFAULT, u32::MAX - 1),
    ),
    Case::new(
        "lifetime/refresh-default",
        "RFC 8656 §8.2",
        "a Refresh without LIFETIME sets it to 600 s",
        |target| refreshed(target, None, DEFAULT, DEFAULT),
    ),
    Case::new(
        "lifetime/refresh-short",
        "RFC 8656 §8.2",
        "a Refresh with a LIFETIME below the default sets it to the default",
        |target| refreshed(target, Some(1), DEFAULT, DEFAULT),
    ),
    Case::new(
        "lifetime/refresh-longer",
        "RFC 8656 §8.2",
        "a Refresh with a LIFETIME above the default sets it to that, or to the maximum",
        |target| refreshed(target, Some(1000), DEFAULT, 1000),
    ),
    Case::new(
        "lifetime/refresh-endless",
        "RFC 8656 §8.2",
        "a Refresh with the longest LIFETIME sets it to the server's maximum",
        |target| refreshed(target, Some(u32::MAX), DEFAULT, u32::MAX - 1),
    ),
];

fn with(request: Request, requested: Option<u32>) -> Request {
    match requested {
        Some(seconds) => request.lifetime(seconds),
        None => request,
    }
}

fn allocated(target: &Target, requested: Option<u32>, low: u32, high: u32) -> Verdict {
    let mut client = Client::challenged(target)?;
    let answer = client.allocate_by(&with(target.allocate(), requested))?;
    between(answer.number(ATTR_LIFETIME)?, low, high)
}

fn refreshed(target: &Target, requested: Option<u32>, low: u32, high: u32) -> Verdict {
    let mut client = Client::allocated(target)?;
    let answer = client.ask(&with(Request::refresh(), requested)).step("Refresh")?.success()?;
    between(answer.number(ATTR_LIFETIME)?, low, high)
}

fn between(lifetime: u32, low: u32, high: u32) -> Verdict {
    let expected = match low == high {
        true => format!("LIFETIME {low}"),
        false => format!("LIFETIME from {low} to {high}"),
    };
    ensure((low..=high).contains(&lifetime), &expected, format!("LIFETIME {lifetime}"))
}
