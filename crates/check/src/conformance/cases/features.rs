//! The additions of RFC 8489 to the long-term credentials: nonces that name the server's features,
//! other password algorithms, MESSAGE-INTEGRITY-SHA256 and USERHASH. All of them are optional, and
//! named by a server's nonce.

use ::stun::attributes::{
    ATTR_MESSAGE_INTEGRITY, ATTR_MESSAGE_INTEGRITY_SHA256, ATTR_NONCE, ATTR_PASSWORD_ALGORITHM,
    ATTR_PASSWORD_ALGORITHMS, ATTR_REALM, ATTR_USER_HASH, ATTR_USERNAME,
};

use super::super::{
    case::Case,
    client::Client,
    login::Login,
    request::Request,
    target::Target,
    verdict::{Fault, Step, Verdict, ensure},
};

/// The features' bits, 0 and 1 of 24 (RFC 8489 §18.1). §9.2 counts them from the top, the example
/// in Appendix B.1 from the bottom, so that servers do the one or the other.
const PASSWORD_ALGORITHMS: u32 = 1 << 23 | 1;
/// The feature that users may hide their names.
const USERNAME_ANONYMITY: u32 = 1 << 22 | 1 << 1;

/// The algorithms, each with the length of its parameters, 0 (RFC 8489 §18.5.1).
const MD5: [u8; 4] = [0, 1, 0, 0];
const SHA256: [u8; 4] = [0, 2, 0, 0];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "features/cookie",
        "RFC 8489 §9.2",
        "a nonce that begins as a nonce cookie names its features in base64",
        cookie,
    ),
    Case::new(
        "features/algorithms-listed",
        "RFC 8489 §9.2.4",
        "PASSWORD-ALGORITHMS are in a 401 exactly if the nonce cookie says so",
        algorithms_listed,
    ),
    Case::new(
        "features/algorithms-with-438",
        "RFC 8489 §9.2.4",
        "a 438 lists PASSWORD-ALGORITHMS as the 401 did",
        algorithms_with_438,
    ),
    Case::new(
        "features/sha256",
        "RFC 8489 §9.2.4",
        "a request by SHA-256 is accepted, and its answer carries MESSAGE-INTEGRITY-SHA256",
        |target| by_algorithm(target, SHA256),
    ),
    Case::new(
        "features/md5-named",
        "RFC 8489 §9.2.4",
        "a request that names MD5 is accepted, and its answer carries MESSAGE-INTEGRITY-SHA256",
        |target| by_algorithm(target, MD5),
    ),
    Case::new(
        "features/md5-unnamed",
        "RFC 8489 §9.2.4",
        "a request that names no algorithm is answered with MESSAGE-INTEGRITY, by MD5",
        md5_unnamed,
    ),
    Case::new(
        "features/sha256-wrong",
        "RFC 8489 §9.2.4",
        "a MESSAGE-INTEGRITY-SHA256 by another key is a 401",
        sha256_wrong,
    ),
    Case::new(
        "features/bid-down",
        "RFC 8489 §9.2.4",
        "PASSWORD-ALGORITHMS other than those that the server gave are a 400",
        bid_down,
    ),
    Case::new(
        "features/algorithm-alone",
        "RFC 8489 §9.2.4",
        "PASSWORD-ALGORITHM without PASSWORD-ALGORITHMS is a 400",
        algorithm_alone,
    ),
    Case::new(
        "features/algorithm-not-listed",
        "RFC 8489 §9.2.4",
        "a PASSWORD-ALGORITHM that is not among PASSWORD-ALGORITHMS is a 400",
        algorithm_not_listed,
    ),
    Case::new("features/userhash", "RFC 8489 §14.4", "a user is known by USERHASH", userhash),
    Case::new(
        "features/userhash-unknown",
        "RFC 8489 §9.2.4",
        "a USERHASH of nobody is a 401",
        userhash_unknown,
    ),
];

/// Creates a client of a server whose nonce carries a cookie, and returns the features that this
/// names too.
fn with_cookie(target: &Target) -> Verdict<(Client<'_>, Login, u32)> {
    let client = Client::challenged(target)?;
    let login = client.login()?;
    if !login.nonce.starts_with(b"obMatJos2") {
        return Err(Fault::skipped(
            "the server's nonce carries no cookie: it has no such features",
        ));
    }
    let came = String::from_utf8_lossy(&login.nonce).into_owned();
    let features = login.features().ok_or_else(|| {
        Fault::failed("a NONCE with obMatJos2 and four characters of base64", came)
    })?;
    Ok((client, login, features))
}

/// Creates a client of a server whose nonce names this feature.
fn with_feature(target: &Target, bit: u32) -> Verdict<(Client<'_>, Login)> {
    let (client, login, features) = with_cookie(target)?;
    if features & bit == 0 {
        return Err(Fault::skipped("the server's nonce cookie does not name this feature"));
    }
    Ok((client, login))
}

/// Creates a client of a server with password algorithms, and returns their list too.
fn with_algorithms(target: &Target) -> Verdict<(Client<'_>, Login, Vec<u8>)> {
    let (client, login) = with_feature(target, PASSWORD_ALGORITHMS)?;
    let list = login.algorithms.clone();
    let list = list.ok_or_else(|| Fault::failed("PASSWORD-ALGORITHMS", "a 401 without them"))?;
    Ok((client, login, list))
}

fn cookie(target: &Target) -> Verdict {
    with_cookie(target).map(|_| ())
}

fn algorithms_listed(target: &Target) -> Verdict {
    let (_, login, features) = with_cookie(target)?;
    let named = features & PASSWORD_ALGORITHMS != 0;
    let Some(list) = login.algorithms else {
        return ensure(!named, "PASSWORD-ALGORITHMS", "a 401 without them");
    };
    ensure(named, "the bit of password algorithms, since they are listed", "a nonce without it")?;
    let known = [MD5, SHA256].iter().any(|one| entries(&list).any(|entry| entry == *one));
    ensure(known, "MD5 or SHA-256 among the algorithms", format!("{list:02x?}"))
}

/// Returns the algorithms of a list that have no parameters.
fn entries(list: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    list.chunks_exact(4).filter_map(|entry| entry.try_into().ok())
}

fn algorithms_with_438(target: &Target) -> Verdict {
    let (mut client, login, list) = with_algorithms(target)?;
    // The cookie stays: the server did not give the rest.
    let nonce = [&login.nonce[..13], b"0123456789abcdef"].concat();
    let stale = Login { nonce, ..login };
    let answer = client.exchange(&target.allocate().signed(&stale))?.refused(438)?;
    answer.need(ATTR_NONCE)?;
    answer.need(ATTR_REALM)?;
    let came = answer.need(ATTR_PASSWORD_ALGORITHMS)?;
    ensure(came == list, "the same PASSWORD-ALGORITHMS", format!("{came:02x?}"))
}

/// Creates an Allocate with USERNAME, REALM, NONCE and these attributes about algorithms.
fn named(login: &Login, list: &[u8], algorithm: [u8; 4]) -> Request {
    Request::allocate()
        .user(login)
        .with(ATTR_PASSWORD_ALGORITHMS, list)
        .with(ATTR_PASSWORD_ALGORITHM, &algorithm)
}

fn key(login: &Login, algorithm: [u8; 4]) -> Vec<u8> {
    if algorithm == SHA256 { login.sha256_key() } else { login.key.0.clone() }
}

fn by_algorithm(target: &Target, algorithm: [u8; 4]) -> Verdict {
    let (mut client, login, list) = with_algorithms(target)?;
    if !entries(&list).any(|entry| entry == algorithm) {
        return Err(Fault::skipped("the server does not list this algorithm"));
    }
    let key = key(&login, algorithm);
    let request = named(&login, &list, algorithm).integrity_sha256(&key);
    let answer = client.exchange(&request)?.success()?;
    answer.signed_by_sha256(&key)
}

fn md5_unnamed(target: &Target) -> Verdict {
    let (mut client, login, _) = with_algorithms(target)?;
    let answer = client.exchange(&target.allocate().signed(&login))?.success()?;
    answer.signed_by(&login.key)?;
    let sha256 = answer.get(ATTR_MESSAGE_INTEGRITY_SHA256).is_some();
    ensure(!sha256, "MESSAGE-INTEGRITY alone", "MESSAGE-INTEGRITY-SHA256, too")
}

fn sha256_wrong(target: &Target) -> Verdict {
    let (mut client, login, list) = with_algorithms(target)?;
    for algorithm in entries(&list).filter(|entry| [MD5, SHA256].contains(entry)) {
        let request = named(&login, &list, algorithm).integrity_sha256(&[0x5A; 32]);
        let answer = client.exchange(&request)?.refused(401)?;
        answer.need(ATTR_NONCE)?;
        answer.need(ATTR_REALM)?;
        let signed = answer.get(ATTR_MESSAGE_INTEGRITY).is_some();
        ensure(!signed, "an answer that is not signed", "MESSAGE-INTEGRITY")?;
    }
    Ok(())
}

fn bid_down(target: &Target) -> Verdict {
    let (mut client, login, list) = with_algorithms(target)?;
    let weaker: Vec<u8> = if list == MD5 { SHA256.to_vec() } else { MD5.to_vec() };
    let algorithm = if list == MD5 { SHA256 } else { MD5 };
    let request = named(&login, &weaker, algorithm).integrity_sha256(&key(&login, algorithm));
    client.exchange(&request)?.refused(400).map(|_| ())
}

fn algorithm_alone(target: &Target) -> Verdict {
    let (mut client, login, list) = with_algorithms(target)?;
    let algorithm = entries(&list).next().unwrap_or(MD5);
    let request = named(&login, &list, algorithm).without(ATTR_PASSWORD_ALGORITHMS);
    let request = request.integrity_sha256(&key(&login, algorithm));
    client.exchange(&request)?.refused(400).map(|_| ())
}

fn algorithm_not_listed(target: &Target) -> Verdict {
    let (mut client, login, list) = with_algorithms(target)?;
    let request = named(&login, &list, [0x7F, 0x31, 0, 0]);
    let request = request.integrity_sha256(&login.key.0);
    client.exchange(&request)?.refused(400).map(|_| ())
}

/// Creates an Allocate by USERHASH.
fn anonymous(login: &Login, userhash: &[u8]) -> Request {
    let request = match &login.algorithms {
        Some(list) => named(login, list, entries(list).next().unwrap_or(MD5)),
        None => Request::allocate().user(login),
    };
    request.without(ATTR_USERNAME).with(ATTR_USER_HASH, userhash)
}

/// Signs a request by one of the server's algorithms.
fn sign_anonymous(request: Request, login: &Login) -> Request {
    match &login.algorithms {
        Some(list) => {
            let algorithm = entries(list).next().unwrap_or(MD5);
            request.integrity_sha256(&key(login, algorithm))
        }
        None => request.integrity(&login.key),
    }
}

fn userhash(target: &Target) -> Verdict {
    let (mut client, login) = with_feature(target, USERNAME_ANONYMITY)?;
    let request = sign_anonymous(anonymous(&login, &login.userhash()), &login);
    client.exchange(&request)?.success().map(|_| ())
}

fn userhash_unknown(target: &Target) -> Verdict {
    let (mut client, login) = with_feature(target, USERNAME_ANONYMITY)?;
    let request = sign_anonymous(anonymous(&login, &[0x5A; 32]), &login);
    client.exchange(&request)?.refused(401).step("USERHASH of nobody").map(|_| ())
}
