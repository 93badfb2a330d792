//! Access tokens of an authorization server (RFC 7635). The cases with a valid token need the key
//! that this server shares with the TURN server.

use std::time::Duration;

use ::stun::{
    attributes::{ATTR_LIFETIME, AttrType},
    integrity::MessageIntegrity,
};
use callbox_base::auth::AccessTokenKey;

use super::super::{
    answer::Answer,
    case::Case,
    client::Client,
    login::{Login, User},
    request::Request,
    target::Target,
    token::{MAC_KEY, seal},
    verdict::{Fault, Step, Verdict, ensure},
};

/// THIRD-PARTY-AUTHORIZATION and ACCESS-TOKEN (RFC 7635 §6), which the crates do not know.
const THIRD_PARTY_AUTHORIZATION: AttrType = AttrType(0x802E);
const ACCESS_TOKEN: AttrType = AttrType(0x001B);

/// The lifetime of a token, and the difference that clocks may have (RFC 7635 §9).
const LIFETIME: Duration = Duration::from_secs(60);
const DELTA: Duration = Duration::from_secs(5);

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tokens/challenge",
        "RFC 7635 §6.1",
        "THIRD-PARTY-AUTHORIZATION in a 401 names the server that a token must be for",
        |target| TokenClient::begin(target).map(|_| ()),
    ),
    Case::new("tokens/garbage", "RFC 7635 §7", "an ACCESS-TOKEN that is none is a 401", garbage),
    Case::new(
        "tokens/accepted",
        "RFC 7635 §9",
        "a good ACCESS-TOKEN makes an allocation, and its answer is signed by the token's key",
        accepted,
    ),
    Case::new(
        "tokens/lifetime",
        "RFC 7635 §9",
        "the LIFETIME of an allocation is not longer than the token's, whatever is asked for",
        |target| lifetime(target, false),
    ),
    Case::new(
        "tokens/refresh-lifetime",
        "RFC 7635 §9",
        "a Refresh makes an allocation live no longer than the token does",
        |target| lifetime(target, true),
    ),
    Case::new(
        "tokens/other-requests",
        "RFC 7635 §9",
        "other requests are signed by the token's key, and carry no ACCESS-TOKEN",
        other_requests,
    ),
    Case::new(
        "tokens/expired",
        "RFC 7635 §7",
        "an ACCESS-TOKEN whose time is over is a 401",
        |target| {
            let an_hour = Duration::from_secs(3600);
            refused(target, |key, server| seal(key, server, an_hour, LIFETIME))
        },
    ),
    Case::new(
        "tokens/other-server",
        "RFC 7635 §6.2",
        "an ACCESS-TOKEN that is for another server is a 401",
        |target| {
            let other = |server: &str| format!("not-{server}");
            refused(target, |key, server| seal(key, &other(server), Duration::ZERO, LIFETIME))
        },
    ),
    Case::new(
        "tokens/changed",
        "RFC 7635 §6.2",
        "an ACCESS-TOKEN with one wrong bit is a 401",
        |target| {
            refused(target, |key, server| {
                let mut token = seal(key, server, Duration::ZERO, LIFETIME);
                token[20] ^= 1;
                token
            })
        },
    ),
    Case::new(
        "tokens/other-key",
        "RFC 7635 §7",
        "a good ACCESS-TOKEN with a MESSAGE-INTEGRITY by another key is a 401",
        other_key,
    ),
];

/// A client that knows the server name for its tokens.
struct TokenClient<'t> {
    client: Client<'t>,
    server_name: String,
}

impl<'t> TokenClient<'t> {
    fn begin(target: &'t Target) -> Verdict<Self> {
        let mut client = Client::connect(target)?;
        let nobody = User { name: "nobody".into(), password: String::new() };
        let challenge = client.learn(&nobody)?;
        if challenge.get(THIRD_PARTY_AUTHORIZATION).is_none() {
            let why = "the server's 401 has no THIRD-PARTY-AUTHORIZATION: it takes no tokens";
            return Err(Fault::skipped(why));
        }
        let server_name = challenge.text(THIRD_PARTY_AUTHORIZATION)?;
        ensure(!server_name.is_empty(), "THIRD-PARTY-AUTHORIZATION with a name", "an empty one")?;
        Ok(Self { client, server_name })
    }

    /// Signs by a token under this key, whose name is the user name (RFC 7635 §4).
    fn with_key(mut self, kid: &str, mac_key: &[u8]) -> Verdict<Client<'t>> {
        let key = MessageIntegrity(mac_key.to_vec());
        let login = Login { username: kid.to_owned(), key, ..self.client.login()? };
        self.client.log_in(login);
        Ok(self.client)
    }
}

fn key(target: &Target) -> Verdict<&AccessTokenKey> {
    let missing = || Fault::skipped("needs the key of the server's tokens: give --oauth-key");
    target.oauth_key.as_ref().ok_or_else(missing)
}

fn allocate(target: &Target, token: &[u8]) -> Request {
    target.allocate().with(ACCESS_TOKEN, token)
}

fn garbage(target: &Target) -> Verdict {
    // With the name of a real key, if it is known, nothing but the token is wrong.
    let kid = target.oauth_key.as_ref().map_or("nobody", AccessTokenKey::kid);
    let mut client = TokenClient::begin(target)?.with_key(kid, &MAC_KEY)?;
    for token in [&b""[..], b"\xff\xff", &[0; 60], b"not a token at all, but long enough for one"] {
        let answer = client.ask(&allocate(target, token)).and_then(|a| a.refused(401));
        answer.step(&format!("{} bytes", token.len()))?;
    }
    Ok(())
}

/// Creates a client with an allocation by a valid token.
fn allocated(target: &Target, seconds: u32) -> Verdict<(Client<'_>, Answer, Vec<u8>)> {
    let client = TokenClient::begin(target)?;
    let key = key(target)?;
    let token = seal(key, &client.server_name, Duration::ZERO, LIFETIME);
    let mut client = client.with_key(key.kid(), &MAC_KEY)?;
    let request = allocate(target, &token).lifetime(seconds);
    let answer = client.ask(&request).and_then(Answer::success).step("Allocate")?;
    Ok((client, answer, token))
}

fn accepted(target: &Target) -> Verdict {
    let (client, answer, _) = allocated(target, 60)?;
    answer.signed_by(&client.login()?.key)
}

fn lifetime(target: &Target, refresh: bool) -> Verdict {
    let (mut client, mut answer, token) = allocated(target, 3600)?;
    if refresh {
        let request = Request::refresh().lifetime(3600).with(ACCESS_TOKEN, &token);
        answer = client.ask(&request).and_then(Answer::success).step("Refresh")?;
    }
    let seconds = answer.number(ATTR_LIFETIME)?;
    let max = (LIFETIME + DELTA).as_secs();
    ensure(u64::from(seconds) <= max, &format!("a LIFETIME up to {max}"), seconds)
}

fn other_requests(target: &Target) -> Verdict {
    let (mut client, _, _) = allocated(target, 60)?;
    let peer = target.peer()?;
    let answer = client.ask(&Request::permission().peer(peer.address))?;
    let answer = client.granted(answer, peer.address).step("CreatePermission")?;
    answer.signed_by(&client.login()?.key)
}

/// Sends an Allocate with a token that must be refused.
fn refused(target: &Target, token: impl Fn(&AccessTokenKey, &str) -> Vec<u8>) -> Verdict {
    let client = TokenClient::begin(target)?;
    let key = key(target)?;
    let token = token(key, &client.server_name);
    let mut client = client.with_key(key.kid(), &MAC_KEY)?;
    client.ask(&allocate(target, &token))?.refused(401).map(|_| ())
}

fn other_key(target: &Target) -> Verdict {
    let client = TokenClient::begin(target)?;
    let key = key(target)?;
    let token = seal(key, &client.server_name, Duration::ZERO, LIFETIME);
    let mut client = client.with_key(key.kid(), b"not the key in there")?;
    client.ask(&allocate(target, &token))?.refused(401).map(|_| ())
}
