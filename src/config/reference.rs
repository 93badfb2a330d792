//! The documentation of the options, generated from their table.

use std::fmt::Write;

use clap::{Arg, Command};

use super::layers::{is_list, is_only_flag, table};

/// Returns the text of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Generated from the code by `cargo xtask generate`. -->\n\n\
         Each option can be given as a flag of `callbox serve`, as an environment variable and as \
         a key of the TOML file that `--config` names. A flag takes precedence over the \
         environment, and the environment over the file. The key is the flag without its dashes: \
         `--ring-timeout 30s` is `ring-timeout = \"30s\"`. An annotated file is in \
         [`deploy/callbox.toml`](../deploy/callbox.toml).\n\n\
         A list is given by repeating its flag, in the file as `[…]`, and in the environment with \
         commas between its values; lists of secrets, which may hold commas, take one line for \
         each there. An environment variable that is empty counts as not set. \
         Blanks, line ends and byte order marks around a value, around each value of a list and around \
         a secret in a file of its own are not part of it.\n",
    );
    let command = table();
    for (heading, args) in sections(&command) {
        let _ = write!(text, "\n## {heading}\n");
        for arg in args {
            let option = Described::of(arg);
            let _ = write!(text, "\n### `--{}`\n\n", option.key);
            for paragraph in &option.paragraphs {
                let _ = write!(text, "{paragraph}\n\n");
            }
            let _ = writeln!(
                text,
                "- Value: `{}`{}",
                option.value,
                match is_list(arg) {
                    true => ", any number of them",
                    false => "",
                }
            );
            let _ = writeln!(text, "- Default: {}", option.default);
            let _ = writeln!(text, "- Environment: `{}`", option.variable);
        }
    }
    text
}

/// Returns the text of `deploy/callbox.toml`: every option, commented out, with its default or, if
/// there is none, an example.
pub fn annotated_file() -> String {
    let mut text = String::from(
        "# callbox: every option with its default, or with an example where there is none.\n\
         # Made from the code, as is docs/configuration.md. Take the # away from what you change.\n\
         #\n\
         # Two things must be set, here, in the environment or as flags: a secret for TURN\n\
         # credentials (auth-secret) and a key for tokens (jwt-secret or jwt-public-key).\n",
    );
    let command = table();
    for (heading, args) in sections(&command) {
        let args = args.iter().filter(|arg| !is_only_flag(arg.get_id().as_str()));
        let _ = write!(text, "\n\n# ---- {heading} {}\n", "-".repeat(72 - heading.len()));
        for arg in args {
            let option = Described::of(arg);
            text.push('\n');
            for (number, paragraph) in option.paragraphs.iter().enumerate() {
                let gap = if number == 0 { "" } else { "#\n" };
                let _ = writeln!(text, "{gap}{}", wrap(paragraph));
            }
            if !option.default.starts_with('`') || option.default.contains(' ') {
                let _ = writeln!(text, "#\n{}", wrap(&format!("Default: {}", option.default)));
            }
            let _ = writeln!(text, "#{} = {}", option.key, option.toml_value(arg));
        }
    }
    text
}

/// The options that are no limits although they have a number, a size or a time.
const NO_LIMITS: [&str; 4] = ["acme-retry", "gather", "lifetime", "workers"];

/// Returns the table of limits in `docs/security.md`: every option with a number, a size or a time,
/// with its default.
pub fn limits() -> String {
    let mut text = String::from("| option | default | what it bounds |\n|---|---|---|\n");
    let command = table();
    for (_, args) in sections(&command) {
        for option in args.into_iter().map(Described::of) {
            let is_limit = matches!(&*option.value, "NUMBER" | "BYTES" | "DURATION" | "LOW-HIGH");
            if is_limit && !NO_LIMITS.contains(&&*option.key) {
                let Described { key, default, paragraphs, .. } = &option;
                let summary = &paragraphs[0];
                let _ = writeln!(
                    text,
                    "| [`--{key}`](configuration.md#--{key}) | {default} | {summary} |"
                );
            }
        }
    }
    text
}

/// Returns the options by heading, in the order of the table.
fn sections(command: &Command) -> Vec<(&str, Vec<&Arg>)> {
    let mut sections: Vec<(&str, Vec<&Arg>)> = Vec::new();
    for arg in command.get_arguments() {
        let heading = arg.get_help_heading().expect("every group of options has a heading");
        match sections.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, args)) => args.push(arg),
            None => sections.push((heading, vec![arg])),
        }
    }
    sections
}

/// An option in the form that its documentation needs.
struct Described {
    key: String,
    value: String,
    variable: String,
    default: String,
    example: Option<String>,
    paragraphs: Vec<String>,
}

impl Described {
    fn of(arg: &Arg) -> Self {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
        let help = help.expect("every option has a comment");
        let mut option = Self {
            key: arg.get_long().expect("every option has a long flag").to_owned(),
            value: arg.get_value_names().map_or(String::new(), |names| names[0].to_string()),
            variable: arg.get_env().map_or(String::new(), |name| name.to_string_lossy().into()),
            default: "none".into(),
            example: None,
            paragraphs: Vec::new(),
        };
        if let [value, ..] = arg.get_default_values() {
            option.default = format!("`{}`", value.to_string_lossy());
        }
        let possible = arg.get_possible_values();
        if option.value == "BOOL" {
            option.value = "true|false".into();
        } else if !possible.is_empty() {
            let names: Vec<_> = possible.iter().map(|value| value.get_name()).collect();
            option.value = names.join("|");
        }
        for paragraph in help.split("\n\n").map(str::trim) {
            if let Some(default) = paragraph.strip_prefix("Default: ") {
                option.default = default.to_owned();
            } else if let Some(example) = paragraph.strip_prefix("Example: ") {
                option.example = Some(example.trim_matches('`').to_owned());
            } else {
                let stop = if paragraph.ends_with(['.', ':']) { "" } else { "." };
                option.paragraphs.push(format!("{paragraph}{stop}"));
            }
        }
        option
    }

    /// Returns the value for the annotated file.
    fn toml_value(&self, arg: &Arg) -> String {
        // If the default differs with --dev, the regular one comes first.
        let usual = self.default.split(", ").next().unwrap_or_default();
        let mut values: Vec<&str> = usual.split('`').skip(1).step_by(2).collect();
        if let Some(example) = &self.example {
            values = vec![example];
        }
        let quoted: Vec<_> = values.iter().map(|value| quote(value)).collect();
        match is_list(arg) {
            true => format!("[{}]", quoted.join(", ")),
            false => quoted.into_iter().next().unwrap_or_default(),
        }
    }
}

fn quote(value: &str) -> String {
    let bare = matches!(value, "true" | "false") || value.bytes().all(|b| b.is_ascii_digit());
    if bare { value.to_owned() } else { format!("{value:?}") }
}

/// Breaks text into comment lines of at most 100 characters.
fn wrap(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one line");
        if line.len() + 1 + word.len() > 100 {
            lines.push(format!("# {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_documented_in_full() {
        let command = table();
        for arg in command.get_arguments() {
            let option = Described::of(arg);
            let key = &option.key;
            let variable = format!("CALLBOX_{}", key.to_uppercase().replace('-', "_"));
            assert_eq!(option.variable, variable, "--{key}");
            assert!(!option.toml_value(arg).is_empty(), "--{key} has no default and no example");
            assert!(!option.paragraphs.is_empty() && !option.value.is_empty(), "--{key}");
        }
    }
}
