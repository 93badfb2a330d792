//! The options of a server in a test.

use std::{ffi::OsString, time::Duration};

use callbox_cli::Period;
use clap::Parser;

use super::{Server, StartError, setup::Setup};
use crate::config::{self, Options};

/// The options about the process and its output, which a test has already.
const PROCESS_OPTIONS: [&str; 5] =
    ["exit-with-parent", "lifetime", "log-format", "log-level", "ready-json"];

/// The options of every server in a test, unless the test sets them. One worker is plenty for a
/// test, and ten servers have ten.
const DEFAULTS: [(&str, &str); 4] =
    [("dev", "true"), ("http", "127.0.0.1:0"), ("listen", "127.0.0.1:0"), ("workers", "1")];

/// The command line as the binary parses it.
#[derive(Debug, Parser)]
#[command(name = "callbox")]
enum Command {
    Serve(Box<Options>),
}

/// Sets the options of a server in a test, and starts it.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    /// The names, without dashes, and values.
    options: Vec<(String, String)>,
}

impl Builder {
    /// Sets an option of `callbox serve`, by its name with or without the dashes before it:
    /// `.option("max-lifetime", "60s")`. For an option that is on or off, the value is `true` or
    /// `false`; one that may be given more than once may be set more than once.
    /// `docs/configuration.md` lists them. Errors are reported by [`Builder::start`].
    #[must_use]
    pub fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.options.push((name.trim_start_matches('-').to_owned(), value.to_string()));
        self
    }

    /// Tells clients to use the relay alone (`--force-relay`).
    #[must_use]
    pub fn force_relay(self) -> Self {
        self.option("force-relay", true)
    }

    /// Sets the time for which TURN credentials open allocations (`--credential-ttl`), a second at
    /// least.
    #[must_use]
    pub fn credential_ttl(self, ttl: Duration) -> Self {
        self.option("credential-ttl", Period(ttl))
    }

    /// Lets [`Server::faults`] inject faults (`--allow-faults`).
    #[must_use]
    pub fn allow_faults(self) -> Self {
        self.option("allow-faults", true)
    }

    /// Starts the server.
    ///
    /// # Errors
    /// [`StartError::Config`] and [`StartError::ProcessOption`] if an option is wrong,
    /// [`StartError::Start`] if the server does not start with them. Nothing is left running then.
    pub async fn start(self) -> Result<Server, StartError> {
        Server::run(self.setup()?).await
    }

    fn setup(&self) -> Result<Setup, StartError> {
        let is_set = |name: &str| self.options.iter().any(|(set, _)| set == name);
        if let Some(name) = PROCESS_OPTIONS.into_iter().find(|name| is_set(name)) {
            return Err(StartError::ProcessOption(name.to_owned()));
        }
        let defaults = DEFAULTS.into_iter().filter(|(name, _)| !is_set(name));
        let defaults = defaults.map(|(name, value)| format!("--{name}={value}"));
        let set = self.options.iter().map(|(name, value)| format!("--{name}={value}"));
        let args = ["callbox", "serve"].map(String::from).into_iter().chain(defaults).chain(set);
        let args: Vec<OsString> = args.map(OsString::from).collect();
        let Command::Serve(options) = config::parse(&args, &|_| None)?;
        Ok(Setup::new(*options))
    }
}
