//! `callbox check-config`: checks a configuration without starting the server.

use std::ffi::OsString;

use callbox_cli::say;
use clap::CommandFactory;

use crate::{
    config::{self, Config, Given, Options},
    server::Preview,
};

/// Prints the options that are set and the URIs that clients would be told; errors are those of
/// `callbox serve`.
pub(super) fn run(args: &[OsString], options: Options) -> anyhow::Result<()> {
    let given = config::given::<super::Cli>(args, &|name| std::env::var_os(name))?;
    print_given(&given);
    let names = std::env::vars_os().map(|(name, _)| name);
    let mut warnings = config::unknown_variables(&super::Cli::command(), names);
    let preview = Preview::new(Config::new(options)?)?;
    warnings.extend(preview.warnings);
    say!("\nclients would be told:");
    let uris: Vec<_> = preview.stun.iter().chain(&preview.turn).collect();
    match uris.is_empty() {
        true => say!("  no STUN or TURN address"),
        false => uris.iter().for_each(|uri| say!("  {uri}")),
    }
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    match warnings.len() {
        0 => say!("\nok"),
        1 => say!("\nok, with 1 warning"),
        count => say!("\nok, with {count} warnings"),
    }
    Ok(())
}

/// Prints the options that are set, in the form of the configuration file.
fn print_given(given: &[Given]) {
    say!("set, all else is as docs/configuration.md says:");
    if given.is_empty() {
        say!("  nothing");
    }
    for option in given {
        let values: Vec<_> = option.values.iter().map(|value| format!("{value:?}")).collect();
        let value = match option.is_list {
            true => format!("[{}]", values.join(", ")),
            false => values.concat(),
        };
        say!("  {} = {value}  # {}", option.key, option.origin);
    }
}
