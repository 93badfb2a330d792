//! The users of a load, with their names and tokens.

use std::{net::IpAddr, time::Duration};

use callbox_base::{clock::Now, ids::UserId};
use callbox_signaling::jwt::{Grants, TokenMinter, Wanted};

use super::{args::Target, session::Session};

/// The lifetime of a token. Users sign in with a fresh one.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// All users of a run.
pub(super) struct Users {
    target: Target,
    from: Option<IpAddr>,
    minter: TokenMinter,
}

impl Users {
    pub(super) fn new(target: Target, from: Option<IpAddr>, minter: TokenMinter) -> Self {
        Self { target, from, minter }
    }

    /// Returns the name of a user. Two loads at a time have different users.
    pub(super) fn name(&self, number: usize) -> String {
        format!("load-{}-{number}", std::process::id())
    }

    /// Signs a user in.
    pub(super) async fn open(&self, number: usize) -> anyhow::Result<Session> {
        let user = UserId::new(&self.name(number))?;
        let grants = Grants::default();
        let wanted = Wanted { user, name: None, ttl: TOKEN_TTL, grants };
        let token = self.minter.mint(&wanted, Now::read())?.token;
        Session::open(&self.target, self.from, number, &token).await
    }
}
