//! The long-term credential mechanism (RFC 8489 §9.2.4), and allocations of other users.

use ::stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME, AttrType};

use super::super::{
    answer::Answer,
    case::Case,
    client::{CHANNEL, Client},
    login::Login,
    request::Request,
    target::Target,
    verdict::{Fault, Step, Verdict, ensure},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "auth/challenge",
        "RFC 8489 §9.2.4",
        "a request without credentials is a 401 with REALM and NONCE",
        challenge,
    ),
    Case::new(
        "auth/challenge-size",
        "RFC 8489 §14.10",
        "REALM and NONCE have fewer than 128 characters",
        challenge_size,
    ),
    Case::new(
        "auth/nonce-of-each-client",
        "RFC 8489 §9.2.4",
        "two clients get two nonces",
        nonce_of_each_client,
    ),
    Case::new(
        "auth/accepted",
        "RFC 8489 §9.2.4",
        "a request that is signed with name, realm and password is accepted",
        accepted,
    ),
    Case::new(
        "auth/wrong-password",
        "RFC 8489 §9.2.4",
        "a wrong password is a 401 with REALM and NONCE",
        wrong_password,
    ),
    Case::new(
        "auth/unknown-user",
        "RFC 8489 §9.2.4",
        "an unknown user is a 401 with REALM and NONCE",
        unknown_user,
    ),
    Case::new(
        "auth/other-realm",
        "RFC 8489 §9.2.4",
        "a request that is signed for another realm is refused",
        other_realm,
    ),
    Case::new(
        "auth/bad-nonce",
        "RFC 8489 §9.2.4",
        "a nonce that the server did not give is a 438 with REALM and a NONCE that is valid",
        bad_nonce,
    ),
    Case::new(
        "auth/password-before-nonce",
        "RFC 8489 §9.2.4",
        "where password and nonce are wrong, it is the password that is told: 401",
        password_before_nonce,
    ),
    Case::new(
        "auth/no-username",
        "RFC 8489 §9.2.4",
        "MESSAGE-INTEGRITY without USERNAME is a 400",
        |target| incomplete(target, ATTR_USERNAME),
    ),
    Case::new(
        "auth/no-realm",
        "RFC 8489 §9.2.4",
        "MESSAGE-INTEGRITY without REALM is a 400",
        |target| incomplete(target, ATTR_REALM),
    ),
    Case::new(
        "auth/no-nonce",
        "RFC 8489 §9.2.4",
        "MESSAGE-INTEGRITY without NONCE is a 400",
        |target| incomplete(target, ATTR_NONCE),
    ),
    Case::new(
        "auth/every-request",
        "RFC 8489 §9.2.4",
        "Refresh, CreatePermission and ChannelBind without credentials are a 401 each",
        every_request,
    ),
    Case::new(
        "auth/other-user",
        "RFC 8656 §5",
        "another user on an allocation's 5-tuple is a 441, and changes nothing",
        other_user,
    ),
];

/// Fails unless a refusal has a realm and a nonce, with which a client can go on.
fn challenges(answer: &Answer) -> Verdict {
    answer.text(ATTR_REALM)?;
    let nonce = answer.need(ATTR_NONCE)?;
    ensure(!nonce.is_empty(), "a NONCE", "an empty NONCE")
}

fn challenge(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    challenges(&client.learn(target.user()?)?)
}

fn challenge_size(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let answer = client.learn(target.user()?)?;
    for typ in [ATTR_REALM, ATTR_NONCE] {
        let characters = answer.text(typ)?.chars().count();
        ensure(characters < 128, &format!("{typ} of fewer than 128 characters"), characters)?;
    }
    Ok(())
}

fn nonce_of_each_client(target: &Target) -> Verdict {
    let first = Client::challenged(target)?.login()?.nonce;
    let second = Client::challenged(target)?.login()?.nonce;
    ensure(first != second, "a NONCE of its own for each client", "the same NONCE for both")
}

fn accepted(target: &Target) -> Verdict {
    Client::allocated(target).map(|_| ())
}

/// Creates a client that knows realm and nonce, and returns its login too.
fn ready(target: &Target) -> Verdict<(Client<'_>, Login)> {
    let client = Client::challenged(target)?;
    let login = client.login()?;
    Ok((client, login))
}

fn wrong_password(target: &Target) -> Verdict {
    let (mut client, login) = ready(target)?;
    let wrong = login.as_user(&login.username, "not the password");
    challenges(&client.exchange(&target.allocate().signed(&wrong))?.refused(401)?)
}

fn unknown_user(target: &Target) -> Verdict {
    let (mut client, login) = ready(target)?;
    let nobody = login.as_user("callbox-conformance-nobody", &login.password);
    challenges(&client.exchange(&target.allocate().signed(&nobody))?.refused(401)?)
}

fn other_realm(target: &Target) -> Verdict {
    let (mut client, login) = ready(target)?;
    let realm = format!("not-{}", login.realm);
    let there = Login { realm, ..login.clone() }.as_user(&login.username, &login.password);
    // The RFC names no code; the password cannot verify, but a server may notice it earlier.
    client.exchange(&target.allocate().signed(&there))?.refused_somehow().map(|_| ())
}

fn bad_nonce(target: &Target) -> Verdict {
    let (mut client, login) = ready(target)?;
    let stale = Login { nonce: b"0123456789abcdef".to_vec(), ..login.clone() };
    let answer = client.exchange(&target.allocate().signed(&stale))?.refused(438)?;
    challenges(&answer)?;
    let fresh = Login { nonce: answer.need(ATTR_NONCE)?, ..login };
    let again = client.exchange(&target.allocate().signed(&fresh));
    again.and_then(Answer::success).step("with the new nonce").map(|_| ())
}

fn password_before_nonce(target: &Target) -> Verdict {
    let (mut client, login) = ready(target)?;
    let nonce = b"0123456789abcdef".to_vec();
    let wrong = Login { nonce, ..login.as_user(&login.username, "not the password") };
    let answer = client.exchange(&target.allocate().signed(&wrong))?;
    if answer.code() == Some(438) && login.features().is_none() {
        // RFC 5389 §10.2.2 has the two checks the other way round.
        return Err(Fault::skipped("438: without a nonce cookie, the server follows RFC 5389"));
    }
    answer.refused(401).map(|_| ())
}

fn incomplete(target: &Target, missing: AttrType) -> Verdict {
    let (mut client, login) = ready(target)?;
    let request = target.allocate().user(&login).without(missing).integrity(&login.key);
    client.exchange(&request)?.refused(400).map(|_| ())
}

fn every_request(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    let peer = target.peer()?.address;
    for request in
        [Request::refresh(), Request::permission().peer(peer), Request::bind(CHANNEL, peer)]
    {
        let name = request.method().to_string();
        let answer = client.exchange(&request).and_then(|answer| answer.refused(401));
        answer.and_then(|answer| challenges(&answer)).step(&name)?;
    }
    Ok(())
}

fn other_user(target: &Target) -> Verdict {
    let other = target.other_user()?;
    let mut client = Client::allocated(target)?;
    let login = client.login()?.as_user(&other.name, &other.password);
    let peer = target.peer()?.address;
    for request in [
        Request::permission().peer(peer),
        Request::bind(CHANNEL, peer),
        Request::refresh().lifetime(0),
    ] {
        let name = request.method().to_string();
        client.exchange(&request.signed(&login))?.refused(441).step(&name)?;
    }
    let refreshed = client.ask(&Request::refresh()).and_then(Answer::success);
    refreshed.step("a Refresh by the user whose it is").map(|_| ())
}
