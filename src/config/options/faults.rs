//! The options for faults on demand.

use std::fs;

use clap::{ArgAction, Args, builder::BoolishValueParser};

use crate::{config::ConfigError, faults::FaultDocument};

/// Faults that tests ask for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Faults, for tests")]
pub struct FaultOptions {
    /// Let back ends make the server fail: lose packets, refuse requests, cut connections.
    ///
    /// For tests of applications, by `PUT /api/v1/faults` with an API key; `docs/faults.md` has the
    /// faults. Never set it in production: the server warns about it when it starts, and does not
    /// start with --strict.
    #[arg(long, env = "CALLBOX_ALLOW_FAULTS", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub allow_faults: bool,

    /// The faults to begin with, as JSON or as @ and a file with it.
    ///
    /// The document is that of `PUT /api/v1/faults`. It needs --allow-faults.
    ///
    /// Default: none
    ///
    /// Example: `{"packets":[{"lossPercent":5}]}`
    #[arg(long, env = "CALLBOX_FAULTS", value_name = "JSON|@FILE")]
    pub faults: Option<String>,
}

impl FaultOptions {
    /// Returns the document to begin with; `None` if no faults are allowed.
    ///
    /// # Errors
    /// [`ConfigError`] if there is a document that is not allowed, cannot be read or is wrong.
    pub fn document(&self) -> Result<Option<FaultDocument>, ConfigError> {
        let wrong = |reason: String| ConfigError::Option { option: "faults", reason };
        let Some(given) = &self.faults else {
            return Ok(self.allow_faults.then(FaultDocument::default));
        };
        if !self.allow_faults {
            let reason = "it needs --allow-faults, too, so that no server fails by accident";
            return Err(wrong(reason.to_owned()));
        }
        let text = match given.strip_prefix('@') {
            Some(path) => fs::read_to_string(path)
                .map_err(|error| wrong(format!("the file {path} cannot be read: {error}")))?,
            None => given.clone(),
        };
        FaultDocument::parse(&text).map(Some).map_err(|error| wrong(error.to_string()))
    }
}
