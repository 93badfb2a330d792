//! Writes the seeds of a fuzz target, each to a file of its own: `seeds TARGET FOLDER`.

#[path = "../../tests/fuzz/seeds.rs"]
mod seeds;

use std::{env, fs, path::Path};

fn main() -> std::io::Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    let [target, folder] = &args[..] else { panic!("usage: seeds TARGET FOLDER") };
    for (n, seed) in seeds::of(target).into_iter().enumerate() {
        fs::write(Path::new(folder).join(format!("seed-{n}")), seed)?;
    }
    Ok(())
}
