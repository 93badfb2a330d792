//! The formats of a table.

mod junit;
mod markdown;
mod text;

use clap::ValueEnum;

use super::Table;
use crate::error::LabError;

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line for each pair.
    Text,
    /// A table of the paths, which is the same each time if the paths are.
    Markdown,
    /// All that is known, also for --expect.
    Json,
    /// A test case for each pair, for CI systems.
    Junit,
}

impl Format {
    /// Returns the text of a table. An earlier one is what JUnit's cases are judged by.
    pub(crate) fn show(self, table: &Table, earlier: Option<&Table>) -> Result<String, LabError> {
        match self {
            Self::Text => Ok(text::show(table)),
            Self::Markdown => Ok(markdown::show(table)),
            Self::Json => serde_json::to_string_pretty(table)
                .map(|text| text + "\n")
                .map_err(|error| LabError::system("the table cannot be written", error)),
            Self::Junit => Ok(junit::show(table, earlier)),
        }
    }
}
