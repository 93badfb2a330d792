//! MESSAGE-INTEGRITY: the bytes that it covers, and the order of the checks.

use ::stun::attributes::{ATTR_LIFETIME, ATTR_MESSAGE_INTEGRITY};

use super::{
    super::{
        answer::Answer,
        case::Case,
        client::Client,
        request::Request,
        target::Target,
        verdict::{Step, Verdict, ensure},
    },
    stun::{UNKNOWN_REQUIRED, names},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "integrity/success-signed",
        "RFC 8489 §9.2.4",
        "a success response to a signed request carries a MESSAGE-INTEGRITY that verifies",
        success_signed,
    ),
    Case::new(
        "integrity/error-signed",
        "RFC 8489 §9.2.4",
        "an error response to a user who is known carries a MESSAGE-INTEGRITY that verifies",
        error_signed,
    ),
    Case::new(
        "integrity/fingerprint",
        "RFC 8489 §14.7",
        "a signed request with FINGERPRINT is accepted, and a FINGERPRINT in the answer is right",
        fingerprint,
    ),
    Case::new(
        "integrity/wrong-bit",
        "RFC 8489 §9.2.4",
        "a MESSAGE-INTEGRITY with one wrong bit is a 401",
        wrong_bit,
    ),
    Case::new(
        "integrity/wrong-size",
        "RFC 8489 §14.5",
        "a MESSAGE-INTEGRITY that is cut short is refused",
        wrong_size,
    ),
    Case::new(
        "integrity/attribute-behind",
        "RFC 8489 §9",
        "an unknown attribute behind MESSAGE-INTEGRITY is ignored",
        attribute_behind,
    ),
    Case::new(
        "integrity/lifetime-behind",
        "RFC 8489 §9",
        "a LIFETIME of 0 behind MESSAGE-INTEGRITY closes nothing",
        lifetime_behind,
    ),
    Case::new(
        "integrity/user-before-attributes",
        "RFC 8489 §6.3",
        "credentials are looked at before unknown attributes: 401 and not 420",
        user_before_attributes,
    ),
    Case::new(
        "integrity/unknown-required",
        "RFC 8489 §6.3.1",
        "an unknown attribute in a signed request is a 420 that names it",
        unknown_required,
    ),
];

fn success_signed(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let answer = client.allocate()?;
    answer.signed_by(&client.login()?.key)
}

fn error_signed(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    let second = client.ask(&target.allocate()).and_then(|answer| answer.refused(437));
    second.step("a second Allocate")?.signed_by(&client.login()?.key)
}

fn fingerprint(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let login = client.login()?;
    let request = target.allocate().signed(&login).fingerprint();
    let answer = client.exchange(&request)?.success()?;
    answer.fingerprint()?;
    answer.signed_by(&login.key)
}

fn wrong_bit(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let request = target.allocate().user(&client.login()?);
    let right = request.clone().integrity(&client.login()?.key).bytes();
    let mut tag = right[right.len() - 20..].to_vec();
    tag[19] ^= 1;
    client.exchange(&request.with(ATTR_MESSAGE_INTEGRITY, &tag))?.refused(401).map(|_| ())
}

fn wrong_size(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let request = target.allocate().user(&client.login()?);
    for size in [0, 4, 16, 24] {
        let request = request.with_new_id().with(ATTR_MESSAGE_INTEGRITY, &vec![0; size]);
        let answer = client.exchange(&request)?;
        // The RFC does not say which of the two codes it is: it is malformed, and it does not
        // verify.
        let refused = matches!(answer.code(), Some(400 | 401));
        ensure(refused, &format!("{size} bytes: error 400 or 401"), answer.describe())?;
    }
    Ok(())
}

fn attribute_behind(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let request = target.allocate().signed(&client.login()?).with(UNKNOWN_REQUIRED, b"what?");
    client.exchange(&request)?.success().map(|_| ())
}

fn lifetime_behind(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    let request = Request::refresh().signed(&client.login()?).with(ATTR_LIFETIME, &[0; 4]);
    let lifetime = client.exchange(&request)?.success()?.number(ATTR_LIFETIME)?;
    ensure(lifetime > 0, "a LIFETIME that is not 0", "LIFETIME 0")?;
    let refreshed = client.ask(&Request::refresh()).and_then(Answer::success);
    refreshed.step("a Refresh after it").map(|_| ())
}

fn user_before_attributes(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let request = target.allocate().with(UNKNOWN_REQUIRED, b"what?");
    client.exchange(&request)?.refused(401)?;
    Ok(())
}

fn unknown_required(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let request = target.allocate().with(UNKNOWN_REQUIRED, b"what?");
    let answer = client.ask(&request)?.refused(420)?;
    names(&answer, &[UNKNOWN_REQUIRED])
}
