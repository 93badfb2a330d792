//! `callbox natlab matrix`: the path that two peers find, for each pair of kinds.

use std::{
    env,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    thread,
};

use clap::Args;

use crate::{
    error::LabError,
    kind::Kind,
    matrix::{Format, Peers, Runner, Table},
};

/// The exit code if a cell is worse than expected.
const WORSE: u8 = 1;

/// The kinds without --kinds: one of each behavior towards a peer.
const KINDS: &str = "none,full-cone,address-restricted,port-restricted,symmetric,\
    nat,mapping=address-dependent,filtering=address-dependent,carrier-grade,udp-blocked,\
    tcp-443-only,http-proxy,ipv6,ipv6-firewall";

/// The names of Chromium, by which it is looked for.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Show which path two peers find, for each pair of kinds.
///
/// For each pair there is a lab of its own, with a STUN and TURN server, in which two peers make an
/// ICE connection and send each other packets for two seconds. The path is direct, relayed (with
/// the transport to the TURN server), or failed. The exit code is 1 if a path is worse than RFC
/// 4787 and RFC 8445 predict, or than in the table of --expect; stderr names these pairs.
#[derive(Debug, Args)]
pub(super) struct MatrixArgs {
    /// The kinds, separated by commas, each with its settings after it: `symmetric,hairpin,none`
    /// are two. `nat,mapping=…` begins a kind without a name.
    #[arg(long, value_name = "KINDS", default_value = KINDS, hide_default_value = true)]
    kinds: String,

    /// Two kinds, instead of every pair of --kinds; may be given more than once.
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "kinds")]
    pair: Vec<Kind>,

    /// The peers: `callbox` for the ICE agent that is part of callbox, `chromium`, or a command of
    /// the shell that prints its selected pair as one line of JSON, as
    /// `{"local":{"type":"srflx"},"remote":{"type":"relay","relay":"udp"}}`. Its other lines are
    /// input of the command on the other side.
    #[arg(long, value_name = "PEERS", default_value = "callbox", conflicts_with = "on")]
    with: String,

    /// Such a command for one side, a or b.
    #[arg(long, num_args = 2, value_names = ["SIDE", "COMMAND"])]
    on: Vec<String>,

    /// The program for `--with chromium`, if it is not in PATH.
    #[arg(long, value_name = "PATH")]
    chromium: Option<PathBuf>,

    /// The format of the table.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// A table of an earlier run, made with --format json.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,

    /// Measure nothing, and show the table of an earlier run.
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,

    /// The number of labs that are up at once; by default four for each processor, or one with
    /// Chromium.
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,

    /// The seconds in which two peers have to find a path.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    timeout: u64,
}

/// Measures the matrix and prints it.
pub(super) fn run(args: &MatrixArgs) -> Result<u8, LabError> {
    let earlier = args.expect.as_deref().map(Table::read).transpose()?;
    let table = match &args.show {
        Some(file) => Table::read(file)?,
        None => measure(args)?,
    };
    print!("{}", args.format.show(&table, earlier.as_ref())?);
    let complaints = table.complaints(earlier.as_ref());
    for complaint in &complaints {
        eprintln!("natlab: worse: {complaint}");
    }
    Ok(if complaints.is_empty() { 0 } else { WORSE })
}

fn measure(args: &MatrixArgs) -> Result<Table, LabError> {
    let pairs = match &args.pair[..] {
        [] => pairs(&kinds(&args.kinds)?),
        named => named.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect(),
    };
    let peers = peers(args)?;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let each = if matches!(peers, Peers::Chromium(_)) { 1 } else { 4 };
    let runner = Runner {
        peers,
        executable: PathBuf::from("/proc/self/exe"),
        timeout: args.timeout,
        jobs: args.jobs.unwrap_or(each * processors),
    };
    let is_watched = io::stderr().is_terminal();
    let (mut done, all) = (0, pairs.len());
    runner.run(pairs, |cell| {
        done += 1;
        if is_watched {
            let [a, b] = cell.kinds();
            eprintln!("natlab: {done} of {all}: {a} × {b}: {}", cell.path());
        }
    })
}

/// Reads kinds that are separated by commas, as their settings are.
fn kinds(text: &str) -> Result<Vec<Kind>, LabError> {
    let mut texts: Vec<String> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let is_setting = word.contains('=') || word == "hairpin";
        match texts.last_mut().filter(|_| is_setting) {
            Some(last) => *last = format!("{last},{word}"),
            None => texts.push(word.to_owned()),
        }
    }
    let mut kinds = Vec::new();
    for text in texts {
        let kind = text.parse().map_err(|error| LabError::new(format!("--kinds: {error}")))?;
        if kinds.contains(&kind) {
            return Err(LabError::new(format!("--kinds: `{text}` is in it twice")));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

/// Returns each pair of kinds, each kind with itself, too.
fn pairs(kinds: &[Kind]) -> Vec<[Kind; 2]> {
    let firsts = kinds.iter().enumerate();
    firsts.flat_map(|(n, a)| kinds[n..].iter().map(|b| [*a, *b])).collect()
}

fn peers(args: &MatrixArgs) -> Result<Peers, LabError> {
    if !args.on.is_empty() {
        let of = |side: &str| {
            let found = args.on.chunks_exact(2).find(|pair| pair[0] == side);
            let missing = || {
                LabError::new(format!(
                    "there is no program for side {side}: name both, as with \
                     `--on a 'COMMAND' --on b 'COMMAND'`"
                ))
            };
            found.map(|pair| pair[1].clone()).ok_or_else(missing)
        };
        if let Some(pair) = args.on.chunks_exact(2).find(|pair| !["a", "b"].contains(&&*pair[0])) {
            return Err(LabError::new(format!("--on: there is no side `{}`; use a or b", pair[0])));
        }
        return Ok(Peers::Commands { a: of("a")?, b: of("b")? });
    }
    match &*args.with {
        "callbox" => Ok(Peers::Callbox),
        "chromium" => chromium(args.chromium.as_deref()).map(Peers::Chromium),
        command => Ok(Peers::Commands { a: command.to_owned(), b: command.to_owned() }),
    }
}

/// Returns the path of the browser.
fn chromium(named: Option<&Path>) -> Result<PathBuf, LabError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = |name: &Path| {
        env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    match named {
        Some(file) if file.components().count() > 1 && file.is_file() => Ok(file.to_owned()),
        Some(name) => in_path(name)
            .ok_or_else(|| LabError::new(format!("--chromium: there is no {}", name.display()))),
        None => BROWSERS.iter().find_map(|name| in_path(Path::new(name))).ok_or_else(|| {
            LabError::new(format!(
                "there is no Chromium in PATH ({}): install it, or name it with --chromium",
                BROWSERS.join(", ")
            ))
        }),
    }
}
