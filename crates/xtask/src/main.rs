//! Tasks of the development of callbox: `cargo xtask --help`.

#![forbid(unsafe_code)]

mod documents;
mod includes;

use std::{path::Path, process::ExitCode};

use clap::{Parser, Subcommand};

use self::documents::Documents;

/// The command line.
#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// A task.
#[derive(Subcommand)]
enum Task {
    /// Writes the documents that are generated from the code.
    Generate {
        /// Writes nothing; fails if a document is not as generated, and names it.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { task: Task::Generate { check } } = Cli::parse();
    let documents = Documents::generate(Path::new(documents::ROOT))?;
    if !check {
        for file in documents.write()? {
            println!("written: {file}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let outdated = documents.outdated();
    for file in &outdated {
        eprintln!("{file} is not as generated; run: cargo xtask generate");
    }
    Ok(if outdated.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
