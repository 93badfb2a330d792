//! The users of a load: their names, their tokens, and how they sign in.

use std::{net::IpAddr, time::Duration};

use super::{args::Target, session::Session};
use crate::{
    auth::{Grants, Identity, TokenMinter},
    clock::Now,
    ids::UserId,
};

/// For how long a token is good. Users sign in with a fresh one.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// All users of a run.
pub(super) struct Users {
    target: Target,
    from: Option<IpAddr>,
    minter: TokenMinter,
}

impl Users {
    pub fn new(target: Target, from: Option<IpAddr>, minter: TokenMinter) -> Self {
        Self { target, from, minter }
    }

    /// The name of a user. Two loads at a time have other users.
    pub fn name(&self, number: usize) -> String {
        format!("load-{}-{number}", std::process::id())
    }

    /// Signs a user in.
    pub async fn open(&self, number: usize) -> anyhow::Result<Session> {
        let now = Now::read();
        let bearer = Identity {
            user: UserId::new(&self.name(number))?,
            name: None,
            expires: now.unix_secs() + TOKEN_TTL.as_secs(),
            grants: Grants::default(),
        };
        let token = self.minter.mint(&bearer, now);
        Session::open(&self.target, self.from, number, &token).await
    }
}
