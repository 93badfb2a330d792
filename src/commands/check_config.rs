//! `callbox check-config`: checks a configuration without starting the server.

use std::ffi::OsString;

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
    println!("\nclients would be told:");
    let uris: Vec<_> = preview.stun.iter().chain(&preview.turn).collect();
    match uris.is_empty() {
        true => println!("  no STUN or TURN address"),
        false => uris.iter().for_each(|uri| println!("  {uri}")),
    }
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    match warnings.len() {
        0 => println!("\nok"),
        1 => println!("\nok, with 1 warning"),
        count => println!("\nok, with {count} warnings"),
    }
    Ok(())
}

/// The options that are set, as the configuration file has them.
fn print_given(given: &[Given]) {
    println!("set, all else is as docs/configuration.md says:");
    if given.is_empty() {
        println!("  nothing");
    }
    for option in given {
        let values: Vec<_> = option.values.iter().map(|value| format!("{value:?}")).collect();
        let value = match option.is_list {
            true => format!("[{}]", values.join(", ")),
            false => values.concat(),
        };
        println!("  {} = {value}  # {}", option.key, option.origin);
    }
}
