//! `callbox trace`: draws the steps of a call, and says what went wrong.
//!
//! | file | contents |
//! |---|---|
//! | `source` | the document, from a file or from a server |

mod source;

use std::path::PathBuf;

use callbox_base::auth::Secret;
use callbox_cli::{say, values::secret};
use clap::{Args, ValueEnum};

pub(super) use self::source::WrongUsage;
use crate::trace::{CallTrace, diagnosis, ladder, mermaid, printable};

/// The arguments of `callbox trace`.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// The id of the call, to ask the server for its trace; or the file of a trace, or `-` for
    /// stdin.
    ///
    /// The id is that of the log, of the call's record and of `callId` in every event. A server
    /// with --trace-dir writes the file when the call is over.
    #[arg(value_name = "CALL|FILE")]
    trace: String,

    /// The form in which the trace is shown.
    ///
    /// Choose mermaid for a report or an issue: GitHub and others draw it, in a block of code whose
    /// language is mermaid. json is the document itself, which can be read again. diagnosis is the
    /// last line of the ladder alone.
    #[arg(long, value_name = "FORMAT", default_value = "ladder")]
    format: Format,

    /// The number of columns of the ladder.
    ///
    /// Give it that of a terminal which is wider, so that fewer lines are divided.
    #[arg(long, value_name = "COLUMNS", default_value_t = 100)]
    width: u16,

    #[command(flatten)]
    server: ServerArgs,
}

/// The server that is asked for a trace, and the key that it wants.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
struct ServerArgs {
    /// The server's address, of HTTP or HTTPS.
    ///
    /// Set it if the server runs on another machine or another port. A file needs none.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,

    /// An API key of the server.
    ///
    /// Default: none; a server with --dev prints its key when it starts
    #[arg(long, env = "CALLBOX_API_KEY", value_name = "KEY", hide_env_values = true,
          value_parser = secret)]
    api_key: Vec<Secret>,

    /// A file with such a key in its first line.
    ///
    /// Prefer it or the environment to the flag: other users of the machine can see a command line.
    #[arg(long, env = "CALLBOX_API_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    api_key_file: Vec<PathBuf>,

    /// A PEM file with the certificates that TLS is verified with: of a CA of your own, or the
    /// server's own one if it is self-signed.
    ///
    /// Without it, TLS is verified with the certificates that browsers trust.
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
}

/// The forms of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A drawing for the terminal, with the diagnosis at its end.
    Ladder,
    /// A sequence diagram of Mermaid.
    Mermaid,
    /// The document.
    Json,
    /// The diagnosis alone.
    Diagnosis,
}

/// Prints a trace.
pub(super) fn run(args: &TraceArgs) -> anyhow::Result<()> {
    let trace = source::read(&args.trace, &args.server)?;
    say!("{}", shown(&trace, args.format, args.width.into())?.trim_end());
    Ok(())
}

fn shown(trace: &CallTrace, format: Format, width: usize) -> anyhow::Result<String> {
    Ok(match format {
        Format::Ladder => ladder(trace, width),
        Format::Mermaid => mermaid(trace),
        Format::Json => json(trace)?,
        Format::Diagnosis if trace.diagnosis.is_empty() => diagnosis(trace),
        Format::Diagnosis => printable(&trace.diagnosis),
    })
}

/// Returns the document as JSON in which nothing controls a terminal: it may be that of a stranger.
fn json(trace: &CallTrace) -> serde_json::Result<String> {
    let mut json = String::new();
    for char in serde_json::to_string_pretty(trace)?.chars() {
        match char {
            '\n' => json.push(char),
            _ if char.is_control() => json += &format!("\\u{:04x}", u32::from(char)),
            _ => json.push(char),
        }
    }
    Ok(json)
}

#[cfg(test)]
mod tests;
