//! The options for the sources of options, and the mode for trying things out.

use std::path::PathBuf;

use clap::{ArgAction, Args, builder::BoolishValueParser};

/// The sources of options, and the mode for trying things out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "General")]
pub struct SourceOptions {
    /// Run for development: on loopback only, with generated secrets.
    ///
    /// Serves the demo page and POST /dev/token, which makes tokens without authentication, and
    /// permits relaying to loopback addresses. Listens on `127.0.0.1:8080` for HTTP and on
    /// `127.0.0.1:3478` and `[::1]:3478` for STUN and TURN; another loopback address or port may be
    /// chosen.
    #[arg(long, env = "CALLBOX_DEV", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub dev: bool,

    /// Read options from this TOML file.
    ///
    /// A key is a flag without the dashes. A flag takes precedence over the environment, and the
    /// environment over the file. An annotated file with every option is in `deploy/callbox.toml`.
    ///
    /// Example: `/etc/callbox/callbox.toml`
    #[arg(long, env = "CALLBOX_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}
