//! The commands of the binary: a file each, or a crate for those that test a server from outside.
//! Their errors are texts for the person at the terminal.

mod check_config;
mod credentials;
mod parent;
mod serve;
mod token;
mod trace;

use std::ffi::OsString;

use callbox_cli::{SecretError, explain};
use clap::{Parser, error::ErrorKind};

use crate::config::{self, ConfigError};

/// STUN, TURN and WebRTC call signaling in one binary.
#[derive(Debug, Parser)]
#[command(name = "callbox", version, propagate_version = true, max_term_width = 100)]
enum Cli {
    /// Run the server.
    ///
    /// To try it out: `callbox serve --dev`. It prints the address of the demo page.
    ///
    /// Each option can also be set by the environment variable that is named with it, or by its
    /// name without the dashes in a TOML file (--config). A flag takes precedence over the
    /// environment, and the environment over the file.
    Serve(Box<config::Options>),
    /// Check a running server as a client, and report the results.
    ///
    /// With --conformance: check any STUN or TURN server against the RFCs.
    #[cfg(feature = "tools")]
    Check(Box<callbox_check::CheckArgs>),
    /// Check a configuration without starting the server: flags, environment, file, and the files
    /// that they name.
    ///
    /// It takes the options of `callbox serve`, prints those that are set and the addresses that
    /// would be advertised to clients, and fails as the server would. A server may run meanwhile.
    /// Warnings go to stderr and do not make it fail.
    CheckConfig(Box<config::Options>),
    #[cfg(feature = "tools")]
    Load(Box<callbox_load::LoadArgs>),
    #[cfg(feature = "tools")]
    Natlab(Box<callbox_natlab::NatlabArgs>),
    /// Make a user's token for signaling.
    Token(Box<token::TokenArgs>),
    /// Make a user's TURN credentials.
    Credentials(credentials::CredentialsArgs),
    /// Show the steps of a call as the server saw them, and say what went wrong.
    ///
    /// The server must run with --trace, or have run with --trace-dir.
    Trace(trace::TraceArgs),
}

/// Runs the binary with these arguments, and returns its exit status.
pub fn run(args: &[OsString]) -> u8 {
    let cli = match config::parse::<Cli>(args, &|name| std::env::var_os(name)) {
        Ok(cli) => cli,
        Err(ConfigError::Usage(error)) => {
            // Help and version come this way, too. Nothing can be done if the terminal is gone.
            let _ = error.print();
            let is_requested =
                matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if is_requested { 0 } else { 2 };
        }
        Err(error) => return fail(&error.into(), 2),
    };
    let done = match cli {
        Cli::Serve(options) => serve::run(*options).map(|()| true),
        #[cfg(feature = "tools")]
        Cli::Check(check) => callbox_check::run(*check),
        Cli::CheckConfig(options) => check_config::run(args, *options).map(|()| true),
        #[cfg(feature = "tools")]
        Cli::Load(args) => callbox_load::run(&args),
        #[cfg(feature = "tools")]
        Cli::Natlab(args) => match callbox_natlab::run(&args) {
            Ok(status) => return status,
            Err(error) => return fail(&error, 2),
        },
        Cli::Token(args) => token::run(&args).map(|()| true),
        Cli::Credentials(args) => credentials::run(&args).map(|()| true),
        Cli::Trace(args) => trace::run(&args).map(|()| true),
    };
    match done {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            let is_asked_wrongly = error.is::<ConfigError>()
                || error.is::<SecretError>()
                || error.is::<trace::WrongUsage>();
            fail(&error, if is_asked_wrongly { 2 } else { 1 })
        }
    }
}

fn fail(error: &anyhow::Error, status: u8) -> u8 {
    eprintln!("callbox: {}", explain(error));
    status
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_trace_that_names_nothing_is_wrong_usage() {
        assert_eq!(run(&["callbox", "trace", "nonsense"].map(OsString::from)), 2);
        assert_eq!(run(&["callbox", "trace", "Cargo.toml"].map(OsString::from)), 1);
    }

    #[test]
    fn the_help_names_variables_and_defaults_and_no_secret() {
        let args = ["callbox", "serve", "--help"].map(OsString::from);
        let environment = |_: &str| Some(OsString::from("hush"));
        let help = config::parse::<Cli>(&args, &environment).unwrap_err().to_string();
        assert!(help.contains("[env: CALLBOX_RING_TIMEOUT]"), "{help}");
        assert!(help.contains("[default: 45s]"));
        assert!(help.contains("Default: `0.0.0.0:8080`"));
        assert!(!help.contains("hush"));
    }
}
