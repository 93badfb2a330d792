//! The precedence of flags over the environment, and of that over the file.
//!
//! The flags are parsed first. Options that they do not set are looked up in the environment and
//! then in the file; each value found is checked on its own, so that an error can name the variable
//! or the line, and then appended to the flags as if it had been one of them. Thus there is one
//! parser for all three.

use std::{ffi::OsString, path::Path};

use callbox_base::text::trimmed;
use clap::{Arg, ArgMatches, Args, Command, Parser, builder::Resettable, parser::ValueSource};

use super::{
    ConfigError, Options,
    file::{File, Shape, nearest},
};

/// Reads an environment variable; a test has its own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Parses the command line with the values that the environment and the file add.
///
/// # Errors
/// [`ConfigError::Usage`] for the command line (a request for help is one, too) and others for the
/// environment and the file.
pub fn parse<T: Parser>(args: &[OsString], environment: Environment<'_>) -> Result<T, ConfigError> {
    let (matches, _) = merge::<T>(args, environment)?;
    Ok(T::from_arg_matches(&matches)?)
}

/// An option that is set.
#[derive(Debug, PartialEq, Eq)]
pub struct Given {
    /// Its flag, without the dashes.
    pub key: String,
    /// The values that it is set to; those of a secret are redacted.
    pub values: Vec<String>,
    /// True if it may have several values.
    pub is_list: bool,
    /// The layer that sets it: `flag`, `environment` or `file`.
    pub origin: &'static str,
}

/// Returns the options of a command that are set, in the order of the table.
///
/// # Errors
/// The same as those of [`parse`].
pub fn given<T: Parser>(
    args: &[OsString],
    environment: Environment<'_>,
) -> Result<Vec<Given>, ConfigError> {
    let (matches, flags) = merge::<T>(args, environment)?;
    let (Some((_, all)), Some((_, flags))) = (matches.subcommand(), flags.subcommand()) else {
        return Ok(Vec::new());
    };
    let mut given = Vec::new();
    for arg in table().get_arguments() {
        let id = arg.get_id().as_str();
        let is_set = |matches: &ArgMatches| {
            let is_known = matches.ids().any(|known| known == id);
            is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        if !is_set(all) {
            continue;
        }
        let origin = match () {
            () if is_set(flags) => "flag",
            () if from_environment(arg, environment)?.is_some() => "environment",
            () => "file",
        };
        let redacted_value = |value: &std::ffi::OsStr| redacted(arg, &value.to_string_lossy());
        let values = all.get_raw(id).into_iter().flatten().map(redacted_value).collect();
        let key = arg.get_long().unwrap_or(id).to_owned();
        given.push(Given { key, values, is_list: is_list(arg), origin });
    }
    Ok(given)
}

/// Returns a value in a form that may be shown: nothing of a secret, and no query of a URL, which
/// may contain one.
fn redacted(arg: &Arg, value: &str) -> String {
    const REDACTED: &str = "[redacted]";
    match value.split_once('?') {
        _ if is_secret(arg) => REDACTED.to_owned(),
        Some((url, _)) if url.contains("://") => format!("{url}?{REDACTED}"),
        _ => value.to_owned(),
    }
}

/// Returns the matches of all three layers, and of the flags alone.
fn merge<T: Parser>(
    args: &[OsString],
    environment: Environment<'_>,
) -> Result<(ArgMatches, ArgMatches), ConfigError> {
    let command = flags_only::<T>();
    let flags = command.clone().try_get_matches_from(args)?;
    let Some((name, given)) = flags.subcommand() else { return Ok((flags.clone(), flags)) };
    let described = T::command();
    let subcommand = described.find_subcommand(name).expect("clap has just matched it");
    let more = from_layers(subcommand, given, environment)?;
    let args = args.iter().cloned().chain(more);
    let matches = command.try_get_matches_from(args)?;
    Ok((matches, flags))
}

/// Returns the table of the options, for reading.
pub(super) fn table() -> Command {
    Options::augment_args(Command::new("callbox"))
}

/// Returns the commands with nothing but their flags. The help names the variables; clap itself
/// must not read them, or their values would count as flags, before those of the file.
fn flags_only<T: Parser>() -> Command {
    fn document(arg: Arg) -> Arg {
        let Some(variable) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else {
            return arg;
        };
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
        let help = help.unwrap_or_default();
        arg.long_help(format!("{help}\n\n[env: {variable}]")).env(Resettable::Reset)
    }
    T::command().mut_subcommands(|subcommand| subcommand.mut_args(document))
}

/// Returns the arguments for the values that only the environment and the file set.
fn from_layers(
    command: &Command,
    given: &ArgMatches,
    environment: Environment<'_>,
) -> Result<Vec<OsString>, ConfigError> {
    let mut more = Vec::new();
    let mut config = None;
    let mut open = Vec::new();
    // Arguments with an environment variable are options; the rest belong to one command.
    for arg in command.get_arguments().filter(|arg| arg.get_env().is_some()) {
        let flag = given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let variable = if flag { None } else { from_environment(arg, environment)? };
        if arg.get_id() == "config" {
            let flag = given.try_get_one::<std::path::PathBuf>("config").ok().flatten();
            config = flag.cloned().or(variable.as_ref().map(|values| (&values[0]).into()));
        }
        match variable {
            Some(values) => more.extend(values.iter().map(|value| argument(arg, value))),
            None if flag => {}
            None => open.push(arg),
        }
    }
    if let Some(path) = config {
        more.extend(from_file(&path, &open)?);
    }
    Ok(more)
}

fn from_environment(
    arg: &Arg,
    environment: Environment<'_>,
) -> Result<Option<Vec<String>>, ConfigError> {
    let name = arg.get_env().expect("only options are asked for").to_string_lossy().into_owned();
    // Compose files and unit files often set a variable to an empty text instead of not setting it.
    let Some(text) = environment(&name) else { return Ok(None) };
    let Some(text) = text.to_str().map(trimmed) else {
        return Err(ConfigError::Variable { name, reason: "it is not UTF-8 text".into() });
    };
    if text.is_empty() {
        return Ok(None);
    }
    // Secrets may contain commas, so those of a list are on lines of their own.
    let values = match is_list(arg) && is_secret(arg) {
        true => parts(text, &['\n']),
        false => values_of(arg, text),
    };
    for value in &values {
        check(arg, value).map_err(|reason| ConfigError::Variable { name: name.clone(), reason })?;
    }
    Ok(Some(values))
}

/// Returns the values in a text from the environment or the file, without the blanks around them:
/// several, if the option is a list with commas.
fn values_of(arg: &Arg, text: &str) -> Vec<String> {
    match arg.get_value_delimiter() {
        Some(delimiter) => parts(text, &[delimiter, '\n']),
        None => vec![trimmed(text).to_owned()],
    }
}

/// Returns the parts of a list. Empty parts are skipped; a list without others is an invalid value.
fn parts(text: &str, separators: &[char]) -> Vec<String> {
    let parts = text.split(separators).map(trimmed).filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.map(str::to_owned).collect();
    if parts.is_empty() { vec![String::new()] } else { parts }
}

/// Returns messages about variables that look like options of `commands` but are none. They are no
/// errors: other programs set variables, too, and one of an older version should not keep the
/// server from starting.
pub fn unknown_variables(commands: &Command, names: impl Iterator<Item = OsString>) -> Vec<String> {
    const PREFIX: &str = "CALLBOX_";
    let args = commands.get_subcommands().flat_map(Command::get_arguments);
    let known: Vec<&str> = args.filter_map(|arg| arg.get_env()?.to_str()).collect();
    let mut unknown: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        // Kubernetes sets these in every pod, with the address of the service `callbox`.
        .filter(|name| !name.starts_with("CALLBOX_SERVICE_") && !name.starts_with("CALLBOX_PORT_"))
        .filter(|name| name.starts_with(PREFIX) && !known.contains(&name.as_str()))
        .collect();
    unknown.sort();
    let describe = |name: String| {
        let text = name.strip_prefix(PREFIX).unwrap_or_default();
        let known = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
        match nearest(text, known) {
            Some(near) => format!(
                "environment variable {name}: there is no such option; did you mean {PREFIX}{near}?"
            ),
            None => format!(
                "environment variable {name}: there is no such option; they are listed by \
                 `callbox serve --help`"
            ),
        }
    };
    unknown.into_iter().map(describe).collect()
}

fn from_file(path: &Path, open: &[&Arg]) -> Result<Vec<OsString>, ConfigError> {
    let file = File::read(path)?;
    let table = table();
    let mut more = Vec::new();
    for entry in file.entries()? {
        let Some(arg) = table.get_arguments().find(|arg| arg.get_long() == Some(&entry.key)) else {
            let keys =
                table.get_arguments().filter_map(Arg::get_long).filter(|key| !is_only_flag(key));
            return Err(file.unknown_key(&entry, keys));
        };
        if is_only_flag(&entry.key) {
            return Err(file.bad_value(&entry, "a file cannot name another file".into()));
        }
        match entry.shape {
            Shape::Table => {
                return Err(file.bad_value(&entry, "it is an option, not a table".into()));
            }
            Shape::List if !is_list(arg) => {
                return Err(file.bad_value(&entry, "it takes one value, not a list".into()));
            }
            Shape::One | Shape::List => {}
        }
        let values: Vec<_> = entry.values.iter().flat_map(|text| values_of(arg, text)).collect();
        for value in &values {
            check(arg, value).map_err(|reason| file.bad_value(&entry, reason))?;
        }
        // The value may be for an option that this command does not have as a flag.
        if open.iter().any(|open| open.get_id() == arg.get_id()) {
            more.extend(values.iter().map(|value| argument(arg, value)));
        }
    }
    Ok(more)
}

/// Returns true if a configuration file sets an option whose value must not be shown.
///
/// # Errors
/// The same as those of [`parse`].
pub(super) fn file_has_secrets(path: &Path) -> Result<bool, ConfigError> {
    let table = table();
    let secrets: Vec<_> = table.get_arguments().filter(|arg| is_secret(arg)).collect();
    let entries = File::read(path)?.entries()?;
    Ok(entries
        .iter()
        .any(|entry| secrets.iter().any(|arg| arg.get_long() == Some(entry.key.as_str()))))
}

/// Returns true if an option makes no sense in a file.
pub(super) fn is_only_flag(key: &str) -> bool {
    key == "config"
}

/// Returns true if an option may be given more than once.
pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

/// Returns true if an option's value must not be shown.
pub(super) fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

fn argument(arg: &Arg, value: &str) -> OsString {
    let long = arg.get_long().expect("every option has a long flag");
    format!("--{long}={value}").into()
}

/// Checks a value; the error is the reason, without the value if it is secret.
fn check(arg: &Arg, value: &str) -> Result<(), String> {
    let alone =
        Command::new("callbox").no_binary_name(true).arg(arg.clone().env(Resettable::Reset));
    let Err(error) = alone.try_get_matches_from([argument(arg, value)]) else { return Ok(()) };
    let reason = std::error::Error::source(&error).map(ToString::to_string);
    let reason = reason.unwrap_or_else(|| {
        let names: Vec<_> = arg.get_possible_values();
        let names: Vec<_> = names.iter().map(|value| value.get_name()).collect();
        match names.is_empty() {
            true => "it is not a value of the kind that is expected".into(),
            false => format!("expected one of {}", names.join(", ")),
        }
    });
    Err(match is_secret(arg) {
        true => reason,
        false => format!("{value:?} does not fit: {reason}"),
    })
}
