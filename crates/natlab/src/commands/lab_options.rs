//! The options that describe a lab.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Args;

use crate::{
    control::LabName,
    error::LabError,
    kind::Kind,
    lab::Lab,
    plan::{Plan, ServerChoice},
    topology,
};

/// The options of a new lab.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Lab")]
pub(super) struct PlanOptions {
    /// The kind of network of side a.
    #[arg(long, value_name = "KIND")]
    a: Option<Kind>,

    /// The kind of network of side b.
    #[arg(long, value_name = "KIND")]
    b: Option<Kind>,

    /// A TOML file that describes the lab, for more sides or other links: docs/natlab.md has an
    /// example.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["a", "b"])]
    file: Option<PathBuf>,

    /// Start callbox in the public network; the default, unless --stun or --turn names a server.
    #[arg(long, conflicts_with_all = ["no_server", "stun", "turn"])]
    server: bool,

    /// Start no server.
    #[arg(long)]
    no_server: bool,

    /// Another STUN server, for NATLAB_STUN, as stun:IP:PORT.
    #[arg(long, value_name = "URI", value_parser = uri_of(&["stun"]))]
    stun: Option<String>,

    /// Another TURN server, for NATLAB_TURN, as turn:IP:PORT?transport=udp; several URIs are
    /// separated by commas.
    #[arg(long, value_name = "URIS", value_parser = uri_of(&["turn", "turns"]))]
    turn: Option<String>,

    /// The user at that TURN server.
    #[arg(long, value_name = "NAME", requires = "turn")]
    turn_username: Option<String>,

    /// The password at that TURN server.
    #[arg(long, value_name = "PASSWORD", requires = "turn_username")]
    turn_password: Option<String>,
}

impl PlanOptions {
    /// Returns true if nothing describes a lab.
    fn is_empty(&self) -> bool {
        self.a.is_none() && self.b.is_none() && self.file.is_none()
    }

    /// Returns the plan of the lab.
    pub(super) fn plan(&self) -> Result<Plan, LabError> {
        if self.is_empty() {
            return Err(LabError::new(
                "there is no side: name the kind of network of each, as with \
                 `--a symmetric --b port-restricted`, or a lab that is up with --lab",
            ));
        }
        let mut plan = match &self.file {
            Some(file) => topology::read(file)?,
            None => Plan::new(),
        };
        for (name, kind) in [("a", self.a), ("b", self.b)] {
            if let Some(kind) = kind {
                plan.add(name, kind)?;
            }
        }
        let elsewhere = self.stun.is_some() || self.turn.is_some();
        let server = match (self.no_server, elsewhere) {
            (_, true) => ServerChoice::Elsewhere {
                stun: self.stun.clone(),
                turn: self.turn.clone(),
                username: self.turn_username.clone(),
                password: self.turn_password.clone(),
            },
            (true, false) => ServerChoice::None,
            (false, false) => ServerChoice::Callbox,
        };
        plan.server(server);
        Ok(plan)
    }
}

/// Returns the parser of URIs with these schemes (RFC 7064, RFC 7065), which are separated by commas.
/// They have addresses, since there are no names in a lab.
fn uri_of(
    schemes: &'static [&'static str],
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| {
        let is_uri = |uri: &str| {
            let (scheme, rest) = uri.split_once(':')?;
            let authority = rest.split_once('?').map_or(rest, |(authority, _)| authority);
            let host = authority.trim_start_matches('[').trim_end_matches(']');
            let is_address =
                authority.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok();
            (schemes.contains(&scheme) && is_address).then_some(())
        };
        match text.split(',').find(|uri| is_uri(uri).is_none()) {
            None => Ok(text.to_owned()),
            Some(uri) => Err(format!(
                "`{uri}` is no URI with an address, as {}:203.0.113.1:3478",
                schemes[0]
            )),
        }
    }
}

/// The options of a command that needs a lab: a new one, or one that is up.
#[derive(Debug, Clone, Args)]
pub(super) struct LabOptions {
    /// A lab that is up, instead of a new one.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["a", "b", "file", "stun", "turn",
          "server", "no_server"])]
    lab: Option<LabName>,

    #[command(flatten)]
    plan: PlanOptions,
}

impl LabOptions {
    /// Returns the lab. A new one ends when it is dropped.
    pub(super) fn lab(&self) -> Result<Lab, LabError> {
        match &self.lab {
            Some(name) => Lab::connect(name.clone()),
            None => Lab::start(&self.plan.plan()?),
        }
    }
}
