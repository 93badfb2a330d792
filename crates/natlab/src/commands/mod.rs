//! The commands of `callbox natlab`, a file each. A command returns the exit code.

mod act;
mod kept;
mod lab_options;
mod matrix;
mod parent;
mod run;
mod shell;
mod verify;

use clap::{Args, Subcommand};

use crate::{
    scratch,
    stages::{self, Stage},
};

/// Run programs behind NATs of a chosen kind, on this machine.
///
/// A lab has hosts, each behind a NAT, and a public network with a STUN, TURN and signaling server.
/// It needs Linux with nftables, and root or user namespaces. It ends with the command, and leaves
/// nothing behind.
///
/// Kinds: none, full-cone, address-restricted, port-restricted, symmetric, udp-blocked,
/// tcp-443-only, http-proxy, carrier-grade, ipv6, ipv6-firewall; or by the words of RFC 4787
/// `mapping=M,filtering=M` with M one of endpoint-independent, address-dependent and
/// address-and-port-dependent. A NAT may have more settings: `ports=preserved|parity|random`,
/// `hairpin` and `timeout=30s`, as in `symmetric,hairpin,timeout=30s`.
#[derive(Debug, Args)]
pub struct NatlabArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Shell(shell::ShellArgs),
    Up(kept::UpArgs),
    Down(kept::DownArgs),
    /// List the labs that are up.
    List,
    Do(act::DoArgs),
    Matrix(matrix::MatrixArgs),
    Verify(verify::VerifyArgs),
    /// Measure the network of the side that this runs on.
    #[command(hide = true)]
    Probe,
    /// Keep a lab until it is taken down: the process that `up` starts.
    #[command(hide = true)]
    Hold(kept::UpArgs),
    #[command(hide = true)]
    Peer(Box<callbox_natlab_peer::PeerArgs>),
    /// Be one of the processes of a lab.
    #[command(hide = true)]
    Stage {
        /// The stage.
        stage: Stage,
    },
}

/// Runs the command, and returns its exit code.
///
/// # Errors
/// [`LabError`](crate::LabError) if the system lacks something or the arguments are wrong.
pub fn run(args: &NatlabArgs) -> anyhow::Result<u8> {
    // Others end at once, or are meant to stay.
    if let Command::Run(_) | Command::Shell(_) | Command::Matrix(_) | Command::Verify(_) =
        args.command
    {
        parent::end_with_parent();
    }
    match &args.command {
        Command::Run(args) => Ok(run::run(args)?),
        Command::Shell(args) => Ok(shell::run(args)?),
        Command::Up(args) => Ok(kept::up(args)?),
        Command::Down(args) => Ok(kept::down(args)?),
        Command::List => Ok(kept::list()?),
        Command::Do(args) => Ok(act::run(args)?),
        Command::Verify(args) => Ok(verify::run(args)?),
        Command::Probe => Ok(verify::probe()?),
        Command::Hold(args) => Ok(kept::hold(args)?),
        Command::Matrix(args) => Ok(matrix::run(args)?),
        Command::Peer(args) => {
            if args.has_browser() {
                scratch::mount()?;
            }
            callbox_natlab_peer::run(args)
        }
        Command::Stage { stage } => {
            match stage {
                Stage::Keeper => stages::keep()?,
                Stage::First => stages::be_first()?,
                Stage::Manager => crate::manager::run()?,
            }
            Ok(0)
        }
    }
}
