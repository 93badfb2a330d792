//! STUN: Binding requests and their answers.

use std::time::Instant;

use ::stun::{
    attributes::{ATTR_FINGERPRINT, ATTR_UNKNOWN_ATTRIBUTES, ATTR_XORMAPPED_ADDRESS, AttrType},
    message::{CLASS_INDICATION, METHOD_BINDING},
};

use super::super::{
    answer::Answer,
    case::Case,
    client::Client,
    request::Request,
    target::Target,
    verdict::{Fault, Step, Verdict, ensure},
};

/// An unassigned attribute type of the comprehension-required range.
pub(super) const UNKNOWN_REQUIRED: AttrType = AttrType(0x7F31);
/// Another unassigned type of that range.
pub(super) const UNKNOWN_REQUIRED_TOO: AttrType = AttrType(0x7F32);
/// An unassigned attribute type of the comprehension-optional range.
pub(super) const UNKNOWN_OPTIONAL: AttrType = AttrType(0xFF31);

pub(super) const CASES: &[Case] = &[
    Case::new(
        "stun/binding",
        "RFC 8489 §6.3.1.1",
        "a Binding request is answered with the address that it came from",
        binding,
    ),
    Case::new(
        "stun/two-at-once",
        "RFC 8489 §6.3.1.1",
        "each of two requests is answered under its own transaction id",
        two_at_once,
    ),
    Case::new(
        "stun/sent-again",
        "RFC 8489 §6.3.1",
        "a request that is sent again gets the same answer again",
        sent_again,
    ),
    Case::new(
        "stun/fingerprint",
        "RFC 8489 §7",
        "a request with FINGERPRINT is answered, and a FINGERPRINT in the answer is right",
        fingerprint,
    ),
    Case::new(
        "stun/unknown-required",
        "RFC 8489 §6.3.1",
        "an unknown attribute that must be understood is a 420 that names it",
        unknown_required,
    ),
    Case::new(
        "stun/unknown-required-two",
        "RFC 8489 §6.3.1",
        "a 420 names each of two unknown attributes",
        unknown_required_two,
    ),
    Case::new(
        "stun/unknown-optional",
        "RFC 8489 §6.3",
        "an unknown attribute that may be ignored is ignored",
        unknown_optional,
    ),
    Case::new(
        "stun/binding-indication",
        "RFC 8489 §6.3.2",
        "a Binding indication gets no answer",
        binding_indication,
    ),
];

/// Fails unless an answer has the client's address, as far as that is known: behind a NAT it is
/// another one.
pub(super) fn mapped(client: &Client<'_>, answer: &Answer) -> Verdict {
    let mapped = answer.address(ATTR_XORMAPPED_ADDRESS)?;
    let local = client.local()?;
    let expected = format!("XOR-MAPPED-ADDRESS {local}");
    ensure(mapped.is_ipv4() == local.is_ipv4() && mapped.port() != 0, &expected, mapped)?;
    let no_nat = mapped.ip() == local.ip() || local.ip().is_loopback();
    ensure(!no_nat || mapped == local, &expected, mapped)
}

fn binding(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let answer = client.exchange(&Request::binding())?.success()?;
    mapped(&client, &answer)
}

fn two_at_once(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let requests = [Request::binding(), Request::binding()];
    for _ in 0..3 {
        for request in &requests {
            client.send(&request.bytes())?;
        }
        // Answers may come in any order, and one or the other may be lost.
        let until = Instant::now() + target.timeout / 3;
        let mut open: Vec<_> = requests.iter().map(Request::id).collect();
        while let Some(bytes) = client.next(until.saturating_duration_since(Instant::now()))? {
            let answer = Answer::parse(&bytes)?.success()?;
            mapped(&client, &answer)?;
            open.retain(|id| bytes[8..20] != *id);
            if open.is_empty() {
                return Ok(());
            }
        }
    }
    Err(Fault::failed("an answer to each of two requests", "fewer"))
}

fn sent_again(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request = Request::binding();
    let first = client.exchange(&request)?.success()?.address(ATTR_XORMAPPED_ADDRESS)?;
    let second = client.exchange(&request).step("the second time")?;
    let second = second.success()?.address(ATTR_XORMAPPED_ADDRESS)?;
    ensure(first == second, &format!("{first} again"), second)
}

fn fingerprint(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let answer = client.exchange(&Request::binding().fingerprint())?.success()?;
    mapped(&client, &answer)?;
    answer.fingerprint()?;
    let last = answer.count(ATTR_FINGERPRINT) <= 1;
    ensure(last, "at most one FINGERPRINT", "several")
}

fn unknown_required(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request = Request::binding().with(UNKNOWN_REQUIRED, b"what?");
    let answer = client.exchange(&request)?.refused(420)?;
    names(&answer, &[UNKNOWN_REQUIRED])
}

fn unknown_required_two(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request =
        Request::binding().with(UNKNOWN_REQUIRED, b"").with(UNKNOWN_REQUIRED_TOO, &[0; 12]);
    let answer = client.exchange(&request)?.refused(420)?;
    names(&answer, &[UNKNOWN_REQUIRED, UNKNOWN_REQUIRED_TOO])
}

/// Fails unless a 420 lists these attributes and no others. A list may be padded by naming one
/// twice, as RFC 3489 wanted it (RFC 8489 §14.13).
pub(super) fn names(answer: &Answer, unknown: &[AttrType]) -> Verdict {
    let listed = answer.list(ATTR_UNKNOWN_ATTRIBUTES)?;
    let numbers: Vec<u16> = unknown.iter().map(|typ| typ.value()).collect();
    let all = numbers.iter().all(|number| listed.contains(number));
    let only = listed.iter().all(|number| numbers.contains(number));
    let expected = format!("UNKNOWN-ATTRIBUTES with {numbers:04x?}");
    ensure(all && only, &expected, format!("{listed:04x?}"))
}

fn unknown_optional(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request = Request::binding().with(UNKNOWN_OPTIONAL, b"what?");
    let answer = client.exchange(&request)?.success()?;
    mapped(&client, &answer)
}

fn binding_indication(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let indication = Request::new(METHOD_BINDING, CLASS_INDICATION);
    client.send_unanswered(&indication.bytes(), "an indication")
}
