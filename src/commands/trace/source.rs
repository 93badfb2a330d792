//! The document of a trace, from a file or from a server.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use axum::http::{Request, StatusCode, Uri, header::AUTHORIZATION};
use bytes::Bytes;
use callbox_base::{auth::Secret, ids::CallId};
use callbox_cli::secrets::with_files;
use callbox_tls::Roots;
use http_body_util::Full;

use super::ServerArgs;
use crate::{
    https::{Answer, Client, Failure, Limits},
    trace::CallTrace,
};

/// The largest number of bytes of a document: a trace has a bounded number of steps.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The longest time of an exchange with the server.
const TIME: Duration = Duration::from_secs(30);

/// The reason why a trace cannot be looked for: the command line has to be changed.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands) enum WrongUsage {
    /// The argument names nothing.
    #[error(
        "{0} is neither a file nor the id of a call: give the path of a trace's file, or the 26 \
         letters and digits that `callId` has in every event, such as 01JNVH0A7GQ2W5E8R1T4Y6V9PB"
    )]
    Neither(String),
    /// There is no key to ask with.
    #[error(
        "no API key to ask the server with: give --api-key-file FILE or CALLBOX_API_KEY, with one \
         of the server's keys (--dev prints the key that it has generated)"
    )]
    NoKey,
    /// A key cannot be sent.
    #[error("--api-key: a key cannot have control characters in it")]
    Key,
    /// The address is none.
    #[error("--url {0}: expected an address of HTTP or HTTPS, such as http://127.0.0.1:8080")]
    Url(String),
    /// The file of trusted certificates cannot be used.
    #[error("--ca-cert {}: {reason}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Its fault.
        reason: String,
    },
}

/// Reads the trace that the argument names: a file, or a call that the server is asked for.
pub(super) fn read(argument: &str, server: &ServerArgs) -> anyhow::Result<CallTrace> {
    if argument == "-" {
        return parsed("stdin", &limited("stdin", io::stdin())?);
    }
    if Path::new(argument).exists() {
        let file = File::open(argument).with_context(|| format!("{argument}: cannot be read"))?;
        return parsed(argument, &limited(argument, file)?);
    }
    match argument.parse() {
        Ok(call) => ask(call, server),
        Err(_) => Err(WrongUsage::Neither(argument.to_owned()).into()),
    }
}

/// Reads a file that is not too long.
fn limited(name: &str, file: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("{name}: cannot be read"))?;
    anyhow::ensure!(
        bytes.len() <= MAX_BYTES,
        "{name} has more than {MAX_BYTES} bytes: it is not the document of a trace"
    );
    Ok(bytes)
}

fn parsed(name: &str, bytes: &[u8]) -> anyhow::Result<CallTrace> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        anyhow::anyhow!(
            "{name} is not the document of a trace, as --trace-dir and --format json write it: \
             {error}"
        )
    })
}

/// Asks a server for the trace of a call, with each key until one is taken.
fn ask(call: CallId, server: &ServerArgs) -> anyhow::Result<CallTrace> {
    let keys = with_files(&server.api_key, "api-key-file", &server.api_key_file)?;
    if keys.is_empty() {
        return Err(WrongUsage::NoKey.into());
    }
    let base = server.url.trim_end_matches('/');
    let wrong_url = || WrongUsage::Url(server.url.clone());
    let url: Uri = format!("{base}/api/v1/calls/{call}/trace").parse().map_err(|_| wrong_url())?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(wrong_url().into());
    }
    let roots = match &server.ca_cert {
        Some(path) => Roots::read(path)
            .map_err(|error| WrongUsage::Roots { path: path.clone(), reason: error.to_string() })?,
        None => Roots::public(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let client = Client::new(roots);
    let answer = runtime.block_on(async {
        let mut keys = keys.iter();
        let mut answer = get(&client, &url, keys.next()).await?;
        for key in keys {
            if answer.status != StatusCode::UNAUTHORIZED {
                break;
            }
            answer = get(&client, &url, Some(key)).await?;
        }
        anyhow::Ok(answer)
    });
    let answer = answer.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure @ Failure::Connect(_)) => {
            anyhow::anyhow!("{base}: {failure}: is the server running, and is --url its address?")
        }
        Ok(failure) => anyhow::anyhow!("{base}: {failure}"),
        Err(error) => error,
    })?;
    document(call, base, answer)
}

async fn get(client: &Client, url: &Uri, key: Option<&Secret>) -> anyhow::Result<Answer> {
    let key = key.and_then(Secret::expose_text).ok_or(WrongUsage::Key)?;
    let request = Request::get(url).header(AUTHORIZATION, format!("Bearer {key}"));
    // The address and the name of the header are right by now.
    let request = request.body(Full::<Bytes>::default()).map_err(|_| WrongUsage::Key)?;
    Ok(client.exchange(request, Limits { time: TIME, answer: MAX_BYTES }).await?)
}

/// Returns the document in an answer, or what its status means.
fn document(call: CallId, base: &str, answer: Answer) -> anyhow::Result<CallTrace> {
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => anyhow::bail!(
            "{base} refused the API key: give one of those that the server has as --api-key or \
             --api-key-file (a server without any shows no traces)"
        ),
        StatusCode::NOT_FOUND => anyhow::bail!(
            "{base} has no trace of call {call}: the server must run with --trace, and it keeps \
             the latest calls alone. With --trace-dir there is a file of each call that is over: \
             callbox trace FILE"
        ),
        status => anyhow::bail!("{base} answered {status} instead of a trace"),
    }
    let body = answer.body.with_context(|| format!("{base}: the trace did not arrive"))?;
    parsed(&format!("the answer of {base}"), &body)
}
