//! Messages that a server drops (RFC 8489 §6.3). On a stream nothing can be dropped: bytes that are
//! no message have no end there.

use ::stun::{
    attributes::{ATTR_FINGERPRINT, ATTR_MAPPED_ADDRESS, AttrType},
    message::{
        CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE, METHOD_BINDING,
        METHOD_SEND, MessageType,
    },
};

use super::{
    super::{
        answer::{Answer, describe},
        case::Case,
        client::Client,
        request::Request,
        target::Target,
        verdict::{Fault, Step, Verdict, ensure},
    },
    stun::UNKNOWN_OPTIONAL,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tolerance/garbage",
        "RFC 8489 §6.3",
        "datagrams that are no STUN messages are dropped",
        garbage,
    )
    .over_datagrams(),
    Case::new(
        "tolerance/length",
        "RFC 8489 §6.3",
        "messages whose length is not theirs are dropped",
        length,
    )
    .over_datagrams(),
    Case::new(
        "tolerance/attribute-length",
        "RFC 8489 §6.3",
        "a message with an attribute that runs past its end is dropped, or a 400",
        attribute_length,
    )
    .over_datagrams(),
    Case::new(
        "tolerance/wrong-fingerprint",
        "RFC 8489 §6.3",
        "where FINGERPRINT is used, a message with a wrong one is dropped",
        wrong_fingerprint,
    ),
    Case::new("tolerance/response", "RFC 8489 §6.3", "a response to nothing is dropped", response),
    Case::new(
        "tolerance/unknown-method",
        "RFC 8489 §6.3",
        "a request of an unknown method is dropped",
        unknown_method,
    ),
    Case::new(
        "tolerance/send-request",
        "RFC 8489 §6.3",
        "Send as a request, which there is not, is dropped",
        send_request,
    ),
    Case::new(
        "tolerance/allocate-indication",
        "RFC 8489 §6.3",
        "Allocate as an indication, which there is not, is dropped",
        allocate_indication,
    ),
    Case::new(
        "tolerance/no-cookie",
        "RFC 8489 §11",
        "a request without the magic cookie is dropped, or answered as RFC 3489 has it",
        no_cookie,
    )
    .over_datagrams(),
];

fn garbage(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let binding = Request::binding().bytes();
    let mut first_bits = binding.clone();
    first_bits[0] |= 0xC0;
    let mut cookie = binding.clone();
    // It has no cookie, and with its first bit set it is no message of RFC 3489 either.
    cookie[0] = 0x80;
    cookie[4..8].fill(0xFF);
    let all: [&[u8]; 7] =
        [b"", b"\0", b"hello", &[0xFF; 100], &binding[..19], &first_bits, &cookie];
    for bytes in all {
        let what = format!("a datagram of {} bytes that is no message", bytes.len());
        client.send_unanswered(bytes, &what)?;
    }
    Ok(())
}

fn length(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let right = Request::binding().with(UNKNOWN_OPTIONAL, &[0; 8]).bytes();
    for (length, what) in [
        (right.len() as u16 - 20 + 4, "a message whose length is more than came"),
        (right.len() as u16 - 20 - 2, "a message whose length is no multiple of four"),
        (0xFFFC, "a message whose length is 65532"),
    ] {
        let mut bytes = right.clone();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        client.send_unanswered(&bytes, what)?;
    }
    Ok(())
}

fn attribute_length(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request = Request::binding().with(UNKNOWN_OPTIONAL, &[0; 8]);
    let mut bytes = request.bytes();
    bytes[22..24].copy_from_slice(&200u16.to_be_bytes());
    client.send(&bytes)?;
    client.exchange(&Request::binding()).step("a Binding after it")?;
    // It breaks the rules of §5, by which attributes are coded as in §14. Many servers notice that
    // after they have begun to answer, and send a 400; a success is wrong.
    match client.next(target.silence)? {
        Some(answer) => {
            let refused = Answer::parse(&answer)?.code() == Some(400);
            ensure(refused, "no answer, or error 400", describe(&answer))
        }
        None => Ok(()),
    }
}

fn wrong_fingerprint(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request = Request::binding().fingerprint();
    if client.exchange(&request)?.get(ATTR_FINGERPRINT).is_none() {
        return Err(Fault::skipped("the server does not use FINGERPRINT: none is in its answers"));
    }
    let mut bytes = request.with_new_id().bytes();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    client.send_unanswered(&bytes, "a request with a wrong FINGERPRINT")
}

fn response(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let response = Request::new(METHOD_BINDING, CLASS_SUCCESS_RESPONSE);
    client.send_unanswered(&response.bytes(), "a response")
}

fn unknown_method(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    // 0x07E, which is assigned to nobody.
    let mut unknown = MessageType::default();
    unknown.read_value(0x00EE);
    let request = Request::new(unknown.method, CLASS_REQUEST);
    client.send_unanswered(&request.bytes(), "a request of method 0x07e")
}

fn send_request(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let request = Request::new(METHOD_SEND, CLASS_REQUEST).peer(target.server).data(b"data");
    client.send_unanswered(&request.bytes(), "a Send request")
}

fn allocate_indication(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let indication = Request::new(METHOD_ALLOCATE, CLASS_INDICATION).transport(17);
    client.send_unanswered(&indication.bytes(), "an Allocate indication")
}

fn no_cookie(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let mut bytes = Request::binding().bytes();
    bytes[4..8].copy_from_slice(b"3489");
    client.send(&bytes)?;
    client.exchange(&Request::binding()).step("a Binding after it")?;
    let Some(answer) = client.next(target.silence)? else { return Ok(()) };
    let expected = "no answer, or a Binding success response with the same 16 bytes of id and \
                    with MAPPED-ADDRESS";
    let success =
        answer.len() >= 24 && answer[..2] == [0x01, 0x01] && answer[4..20] == bytes[4..20];
    let mapped = success && has(&answer, ATTR_MAPPED_ADDRESS);
    ensure(mapped, expected, format!("{} bytes: {:02x?}", answer.len(), answer))
}

/// Returns true if a message without a cookie, which the `stun` crate does not read, has an
/// attribute.
fn has(message: &[u8], typ: AttrType) -> bool {
    let mut rest = &message[20..];
    while let Some(&[t0, t1, l0, l1]) = rest.first_chunk() {
        if u16::from_be_bytes([t0, t1]) == typ.value() {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([l0, l1])).next_multiple_of(4);
        rest = rest.get(4 + length..).unwrap_or(&[]);
    }
    false
}
