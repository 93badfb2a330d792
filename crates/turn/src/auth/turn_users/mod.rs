//! The senders of TURN requests, known by the long-term credential mechanism (RFC 8489 §9.2), over
//! static users and TURN REST credentials alike.

#[cfg(test)]
mod tests;

use callbox_base::{
    auth::{Secret, TurnSecrets, TurnUsername},
    clock::Now,
    ids::ClientAddr,
};
use callbox_stun::{Attributes, PasswordAlgorithm, Request};

use super::{
    AccessTokenKey, LongTermKey, TurnAuthError, TurnIdentity, WrongCredentials,
    access_tokens::{AccessToken, AccessTokens},
    long_term_key::UserKeys,
    nonce::{NonceError, Nonces},
    security_features::SecurityFeatures,
    static_users::StaticUsers,
    turn_identity::BY_TOKEN,
};

/// The users, secrets and keys that requests are checked against, with the nonces that they must
/// carry.
#[derive(Debug)]
pub struct TurnAuth {
    realm: String,
    secrets: TurnSecrets,
    users: StaticUsers,
    /// The tokens that authorization servers vouch for.
    access_tokens: Option<AccessTokens>,
    nonces: Nonces,
    /// Stands in for the keys of a user that there is not, so that the time of the answer does not
    /// tell which users there are.
    nobody: UserKeys,
}

impl TurnAuth {
    /// Accepts the static `users`, each a name and a password, and the credentials that one of
    /// `secrets` has signed. `realm` is the name of the server in
    /// challenges, of fewer than 128 characters (RFC 8489 §14.9). The key of the nonces
    /// comes from the system's random source.
    pub fn new(realm: String, secrets: TurnSecrets, users: Vec<(String, Secret)>) -> Self {
        let users = StaticUsers::new(&realm, users);
        let nobody = UserKeys::derive("", &realm, Secret::generate().expose_text().unwrap_or(""));
        // Whoever sees the second bit must send a USERHASH (RFC 8489 §9.2.5). A user that a secret
        // vouches for is known by the USERNAME alone, so that there must be no such user.
        let username_anonymity = secrets.is_empty() && !users.is_empty();
        let features = SecurityFeatures { password_algorithms: true, username_anonymity };
        let nonces = Nonces::new(features);
        Self { realm, secrets, users, access_tokens: None, nonces, nobody }
    }

    /// Accepts access tokens, too, that are sealed with one of these keys for the realm (RFC 7635).
    pub fn with_access_tokens(mut self, keys: Vec<AccessTokenKey>) -> Self {
        self.access_tokens = AccessTokens::new(&self.realm, keys);
        self
    }

    /// Returns the name that access tokens must be made for; `None` if none are accepted.
    pub fn third_party(&self) -> Option<&str> {
        self.access_tokens.as_ref().map(AccessTokens::server_name)
    }

    /// Returns the realm that clients are challenged with.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Makes a fresh nonce for `client`, good for an hour.
    pub fn nonce(&self, now: Now, client: ClientAddr) -> String {
        self.nonces.issue(now, client)
    }

    /// Returns true if a request carries a nonce that was made for `client` and is still good:
    /// somebody there has got it, so that the source is not forged.
    pub fn has_nonce(&self, now: Now, client: ClientAddr, request: &Request<'_>) -> bool {
        let nonce = request.attributes.nonce;
        nonce.is_some_and(|nonce| self.nonces.check(now, client, nonce).is_ok())
    }

    /// Identifies the sender of a request. Credentials that have expired are not refused here,
    /// since a live allocation outlasts them: see [`TurnIdentity::is_expired`].
    ///
    /// `known` is the owner of the allocation on the request's 5-tuple, whose key need not be
    /// derived again.
    ///
    /// # Errors
    /// [`TurnAuthError`], with the code of the answer.
    pub fn authenticate(
        &self,
        now: Now,
        client: ClientAddr,
        request: &Request<'_>,
        known: Option<&TurnIdentity>,
    ) -> Result<TurnIdentity, TurnAuthError> {
        // The order is that of RFC 8489 §9.2.4.
        let credentials = request.credentials.as_ref().ok_or(TurnAuthError::Missing)?;
        let attributes = &request.attributes;
        let named = attributes.username.is_some() || attributes.userhash.is_some();
        let (true, Some(realm), Some(nonce)) = (named, attributes.realm, attributes.nonce) else {
            return Err(TurnAuthError::Incomplete);
        };
        let algorithm = negotiated(attributes, nonce)?;
        if realm != self.realm.as_bytes() {
            return Err(TurnAuthError::Wrong);
        }
        // Behind a USERHASH there can be a static user only: a TURN REST username is known by
        // nobody but its minter before it is sent.
        let username = attributes
            .username
            .or_else(|| attributes.userhash.and_then(|hash| self.users.name_of(hash)));
        let token = self.access_tokens.as_ref().zip(attributes.access_token).zip(username);
        let known = known.filter(|known| {
            let by_token = &*known.username == BY_TOKEN && self.is_token_key(username);
            let named = by_token || Some(&*known.username) == username;
            named && known.key.algorithm() == algorithm
        });
        let identity = match (token, known) {
            // The name of the key is the user's (RFC 7635 §4).
            (Some(((tokens, token), kid)), _) => {
                tokens.open(now, kid, token).and_then(|AccessToken { key, expires }| {
                    // coturn's client signs with the first 16 bytes of a key of 20, and it is from
                    // there that those who use this have theirs.
                    let mut keys = [key, key.shortened(16)].into_iter();
                    let key = keys.find(|key| credentials.verify(key.bytes()))?;
                    let (username, user) = (BY_TOKEN.into(), BY_TOKEN.into());
                    Some(TurnIdentity { username, user, call: None, expires: Some(expires), key })
                })
            }
            (None, Some(known)) => credentials.verify(known.key.bytes()).then(|| known.clone()),
            (None, None) => {
                self.identify(username, algorithm, |key| credentials.verify(key.bytes()))
            }
        };
        let mut identity = identity.ok_or(TurnAuthError::Wrong)?;
        // A client that keeps to RFC 8489 §9.2.5 signs with MESSAGE-INTEGRITY-SHA256 if it speaks
        // of password algorithms, and else with MESSAGE-INTEGRITY; so this is what §9.2.4 asks for.
        // One that does not can at least read the attribute that it writes.
        identity.key = identity.key.answering(credentials.integrity());
        // The nonce comes last: whose key is wrong as well should hear of that, and 438 tells
        // nothing to those who have no key.
        match self.nonces.check(now, client, nonce) {
            Ok(()) => Ok(identity),
            Err(NonceError::Expired | NonceError::Foreign) => Err(TurnAuthError::StaleNonce),
        }
    }

    /// Returns the fault in the credentials of a request for which [`TurnAuth::authenticate`] gave
    /// [`TurnAuthError::Wrong`]. `None` unless its nonce was made for `client`, expired or not:
    /// without that, somebody else may have sent it in the client's name.
    pub fn why_wrong(
        &self,
        now: Now,
        client: ClientAddr,
        request: &Request<'_>,
    ) -> Option<WrongCredentials> {
        let attributes = &request.attributes;
        if self.nonces.check(now, client, attributes.nonce?) == Err(NonceError::Foreign) {
            return None;
        }
        if attributes.realm != Some(self.realm.as_bytes()) {
            return Some(WrongCredentials::Realm);
        }
        let by_hash = || attributes.userhash.and_then(|hash| self.users.name_of(hash));
        let username = attributes.username.or_else(by_hash);
        let is_user = username.is_some_and(|name| {
            let is_minted = || !self.secrets.is_empty() && TurnUsername::parse(name).is_some();
            self.users.find(name).is_some() || is_minted() || self.is_token_key(Some(name))
        });
        Some(if is_user { WrongCredentials::Password } else { WrongCredentials::User })
    }

    fn is_token_key(&self, username: Option<&str>) -> bool {
        self.access_tokens.as_ref().zip(username).is_some_and(|(tokens, kid)| tokens.knows(kid))
    }

    /// Returns the user behind `username`, if one of the keys that it can have is accepted by
    /// `verify`.
    fn identify(
        &self,
        username: Option<&str>,
        algorithm: PasswordAlgorithm,
        verify: impl Fn(&LongTermKey) -> bool,
    ) -> Option<TurnIdentity> {
        if let Some((name, keys)) = username.and_then(|name| self.users.find(name)) {
            let key = keys.of(algorithm);
            return verify(&key).then(|| {
                let (username, user) = (name.clone(), name.clone());
                TurnIdentity { username, user, call: None, expires: None, key }
            });
        }
        let minted = username.filter(|_| !self.secrets.is_empty());
        let Some((username, parsed)) = minted.and_then(|n| Some((n, TurnUsername::parse(n)?)))
        else {
            verify(&self.nobody.of(algorithm));
            return None;
        };
        let TurnUsername { expires, user, call } = parsed;
        let passwords = self.secrets.passwords(username);
        let mut keys = passwords.map(|p| LongTermKey::derive(algorithm, username, &self.realm, &p));
        let key = keys.find(|key| verify(key))?;
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

/// Returns the algorithm by which the request's key is made (RFC 8489 §9.2.4): MD5, unless the
/// client has chosen out of what it was offered.
fn negotiated(
    attributes: &Attributes<'_>,
    nonce: &[u8],
) -> Result<PasswordAlgorithm, TurnAuthError> {
    let (chosen, offer) = (attributes.password_algorithm, attributes.password_algorithms);
    if chosen.is_none() && offer.is_none() {
        return Ok(PasswordAlgorithm::Md5);
    }
    // A nonce without the cookie came with no offer that could be compared. It is none of ours,
    // and the client will hear so, whatever it has chosen.
    let offered = SecurityFeatures::of(nonce).is_some_and(|features| features.password_algorithms);
    if offered && (chosen.is_none() || offer != Some(&PasswordAlgorithm::OFFER)) {
        return Err(TurnAuthError::BidDown);
    }
    chosen.unwrap_or(Some(PasswordAlgorithm::Md5)).ok_or(TurnAuthError::BidDown)
}
