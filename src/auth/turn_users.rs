//! Who a TURN request comes from: the long-term credential mechanism (RFC 8489 §9.2), over static
//! users and TURN REST credentials alike.

use std::{collections::HashMap, fmt, sync::Arc};

use ::stun::integrity::MessageIntegrity;

use super::{NonceError, Nonces, Secret, TurnSecrets, TurnUsername};
use crate::{
    clock::Now,
    ids::{CallId, ClientAddr},
    stun::{ErrorCode, Request},
};

/// The key of a long-term credential: MD5(username ":" realm ":" password) (RFC 8489 §9.2.2).
#[derive(Clone, Copy)]
pub struct LongTermKey([u8; 16]);

impl LongTermKey {
    fn new(username: &str, realm: &str, password: &str) -> Self {
        let key = MessageIntegrity::new_long_term_integrity(
            username.to_owned(),
            realm.to_owned(),
            password.to_owned(),
        );
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&key.0);
        Self(bytes)
    }

    /// The bytes to sign a response with.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Who made a request, proved.
#[derive(Debug, Clone)]
pub struct TurnIdentity {
    /// The USERNAME as it was sent: what an allocation is bound to (RFC 8656 §5).
    pub username: Arc<str>,
    /// Whose quota it counts against.
    pub user: Arc<str>,
    /// The one call that the credentials are for.
    pub call: Option<CallId>,
    /// When, in seconds since 1970, the credentials open nothing any more; never for static users.
    pub expires: Option<u64>,
    /// What the answer is signed with.
    pub key: LongTermKey,
}

impl TurnIdentity {
    /// Whether the credentials' time is over.
    pub fn is_expired(&self, now: Now) -> bool {
        self.expires.is_some_and(|expires| now.unix_secs() > expires)
    }
}

/// Why a request is refused, and what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TurnAuthError {
    /// No MESSAGE-INTEGRITY: the client is challenged with a realm and a nonce.
    #[error("the request carries no credentials")]
    Missing,
    /// MESSAGE-INTEGRITY without USERNAME, REALM or NONCE.
    #[error("the request's credentials are incomplete")]
    Incomplete,
    /// No such user, another realm or a wrong password; which of them is not told.
    #[error("the request's credentials are wrong")]
    Wrong,
    /// The credentials are right, but the nonce is not one to go on with.
    #[error("the request's nonce is stale")]
    StaleNonce,
}

impl TurnAuthError {
    /// The error code of the answer (RFC 8489 §9.2.4).
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Missing | Self::Wrong => ErrorCode::Unauthorized,
            Self::Incomplete => ErrorCode::BadRequest,
            Self::StaleNonce => ErrorCode::StaleNonce,
        }
    }

    /// Whether the answer carries a realm and a fresh nonce: all but 400 do.
    pub fn challenges(self) -> bool {
        self != Self::Incomplete
    }
}

/// Everything that the relay checks a request against.
#[derive(Debug)]
pub struct TurnAuth {
    realm: String,
    secrets: TurnSecrets,
    users: HashMap<String, LongTermKey>,
    nonces: Nonces,
    /// Stands in for the key of a user that there is not, so that the time of the answer does not
    /// tell which users there are.
    nobody: LongTermKey,
}

impl TurnAuth {
    /// Accepts the static `users` (name and password) and whoever `secrets` vouch for.
    pub fn new(realm: String, secrets: TurnSecrets, users: Vec<(String, Secret)>) -> Self {
        let key = |(name, password): (String, Secret)| {
            let text = String::from_utf8_lossy(password.expose());
            let key = LongTermKey::new(&name, &realm, &text);
            (name, key)
        };
        let users = users.into_iter().map(key).collect();
        let nobody = LongTermKey::new("", &realm, Secret::generate().expose_text().unwrap_or(""));
        Self { realm, secrets, users, nonces: Nonces::new(), nobody }
    }

    /// The realm that clients are challenged with.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// A fresh nonce for `client`.
    pub fn nonce(&self, now: Now, client: ClientAddr) -> String {
        self.nonces.issue(now, client)
    }

    /// Finds out who made a request. Whether the credentials have expired is for the caller to
    /// judge, since a live allocation outlasts them: see [`TurnIdentity::is_expired`].
    ///
    /// `known` is who owns the allocation on the request's 5-tuple: it saves deriving their key
    /// again.
    ///
    /// # Errors
    /// [`TurnAuthError`]
    pub fn authenticate(
        &self,
        now: Now,
        client: ClientAddr,
        request: &Request<'_>,
        known: Option<&TurnIdentity>,
    ) -> Result<TurnIdentity, TurnAuthError> {
        let credentials = request.credentials.as_ref().ok_or(TurnAuthError::Missing)?;
        let attributes = &request.attributes;
        let (Some(username), Some(realm), Some(nonce)) =
            (attributes.username, attributes.realm, attributes.nonce)
        else {
            return Err(TurnAuthError::Incomplete);
        };
        if realm != self.realm.as_bytes() {
            return Err(TurnAuthError::Wrong);
        }
        let identity = match known.filter(|known| &*known.username == username) {
            Some(known) => credentials.verify(known.key.expose()).then(|| known.clone()),
            None => self.identify(username, |key| credentials.verify(key.expose())),
        };
        let identity = identity.ok_or(TurnAuthError::Wrong)?;
        // "If the NONCE is no longer valid and at the same time the MESSAGE-INTEGRITY … is
        // invalid, … 401" (RFC 8489 §9.2.4): so the nonce comes last.
        match self.nonces.check(now, client, nonce) {
            Ok(()) => Ok(identity),
            Err(NonceError::Expired | NonceError::Foreign) => Err(TurnAuthError::StaleNonce),
        }
    }

    /// The user behind `username`, if one of the keys that it can have is accepted by `verify`.
    fn identify(
        &self,
        username: &str,
        verify: impl Fn(&LongTermKey) -> bool,
    ) -> Option<TurnIdentity> {
        if let Some(key) = self.users.get(username) {
            return verify(key).then(|| {
                let name: Arc<str> = username.into();
                let user = name.clone();
                TurnIdentity { username: name, user, call: None, expires: None, key: *key }
            });
        }
        let parsed = TurnUsername::parse(username).filter(|_| !self.secrets.is_empty());
        let Some(TurnUsername { expires, user, call }) = parsed else {
            verify(&self.nobody);
            return None;
        };
        let keys = self.secrets.passwords(username);
        let key = keys.map(|p| LongTermKey::new(username, &self.realm, &p)).find(|k| verify(k))?;
        // A minter that names nobody gives one quota to each username that it mints.
        let user = if user.is_empty() { username } else { &user };
        Some(TurnIdentity {
            username: username.into(),
            user: user.into(),
            call,
            expires: Some(expires),
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ::stun::{
        attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME},
        message::{CLASS_REQUEST, METHOD_ALLOCATE, Message, MessageType, Setter},
        textattrs::TextAttribute,
    };

    use super::*;
    use crate::ids::UserId;

    fn now() -> Now {
        Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
    }

    fn client() -> ClientAddr {
        ClientAddr("192.0.2.1:5000".parse().unwrap())
    }

    fn auth() -> TurnAuth {
        let secrets = TurnSecrets::new(&[Secret::new("new"), Secret::new("old")]);
        TurnAuth::new("here".into(), secrets, vec![("static".into(), Secret::new("pass"))])
    }

    /// A request with what is `Some`, signed if there is a password.
    fn request(
        user: Option<&str>,
        realm: Option<&str>,
        nonce: Option<&str>,
        password: Option<&str>,
    ) -> Vec<u8> {
        let mut message = Message::new();
        message.typ = MessageType { method: METHOD_ALLOCATE, class: CLASS_REQUEST };
        message.write_header();
        for (typ, text) in [(ATTR_USERNAME, user), (ATTR_REALM, realm), (ATTR_NONCE, nonce)] {
            if let Some(text) = text {
                TextAttribute::new(typ, text.into()).add_to(&mut message).unwrap();
            }
        }
        if let Some(password) = password {
            let (user, realm) = (user.unwrap_or(""), realm.unwrap_or(""));
            MessageIntegrity::new_long_term_integrity(user.into(), realm.into(), password.into())
                .add_to(&mut message)
                .unwrap();
        }
        message.raw
    }

    fn outcome(auth: &TurnAuth, bytes: &[u8]) -> Result<TurnIdentity, TurnAuthError> {
        auth.authenticate(now(), client(), &Request::parse(bytes).unwrap(), None)
    }

    #[test]
    fn a_static_user_is_known_by_the_password() {
        let auth = auth();
        let nonce = auth.nonce(now(), client());
        let send = |user, password| {
            outcome(&auth, &request(Some(user), Some("here"), Some(&nonce), Some(password)))
        };
        let identity = send("static", "pass").unwrap();
        assert_eq!((&*identity.user, identity.call, identity.expires), ("static", None, None));
        assert_eq!(send("static", "Pass").unwrap_err(), TurnAuthError::Wrong);
        assert_eq!(send("nobody", "pass").unwrap_err(), TurnAuthError::Wrong);
    }

    #[test]
    fn minted_credentials_are_known_under_every_secret() {
        let auth = auth();
        let nonce = auth.nonce(now(), client());
        let user = UserId::new("alice").unwrap();
        for secret in ["new", "old", "other"] {
            let minted = TurnSecrets::new(&[Secret::new(secret)])
                .mint(now(), Duration::from_secs(60), &user, None, &[])
                .unwrap();
            let bytes =
                request(Some(&minted.username), Some("here"), Some(&nonce), Some(&minted.password));
            match outcome(&auth, &bytes) {
                Ok(identity) => {
                    assert_ne!(secret, "other");
                    assert_eq!(&*identity.user, "alice");
                    assert!(!identity.is_expired(now() + Duration::from_secs(60)));
                    assert!(identity.is_expired(now() + Duration::from_secs(61)));
                }
                Err(error) => assert_eq!((secret, error), ("other", TurnAuthError::Wrong)),
            }
        }
    }

    #[test]
    fn each_lack_has_its_error() {
        let auth = auth();
        let nonce = auth.nonce(now(), client());
        let (user, realm, nonce, password) =
            (Some("static"), Some("here"), Some(&*nonce), Some("pass"));
        let error = |bytes: Vec<u8>| outcome(&auth, &bytes).unwrap_err();
        assert_eq!(error(request(user, realm, nonce, None)), TurnAuthError::Missing);
        assert_eq!(error(request(None, realm, nonce, password)), TurnAuthError::Incomplete);
        assert_eq!(error(request(user, None, nonce, password)), TurnAuthError::Incomplete);
        assert_eq!(error(request(user, realm, None, password)), TurnAuthError::Incomplete);
        assert_eq!(error(request(user, Some("there"), nonce, password)), TurnAuthError::Wrong);
        assert_eq!(error(request(user, realm, Some("stale"), password)), TurnAuthError::StaleNonce);
        // Wrong in both: the password is what the client should hear of.
        assert_eq!(error(request(user, realm, Some("stale"), Some("x"))), TurnAuthError::Wrong);
    }
}
