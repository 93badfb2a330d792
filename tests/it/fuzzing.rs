//! The fuzz targets on any machine: seeds, and random mutations of them. Without coverage feedback
//! it finds less than `fuzz/` does with libFuzzer, but it runs everywhere.
//!
//! `FUZZ_SECONDS=60 cargo test --release --test it fuzzing::` gives each a minute.

#[path = "../fuzz/seeds.rs"]
mod seeds;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

/// The number of mutated inputs that are kept for further mutation.
const KEPT: usize = 512;

fn change(rng: &mut StdRng, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=input.len());
        match rng.random_range(0..7) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => input[at] = rng.random(),
            2 => input.insert(at, rng.random()),
            3 if at < input.len() => drop(input.remove(at)),
            4 => input.truncate(at),
            5 if at + 2 <= input.len() => {
                let edge = *[0u16, 1, 3, 4, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFC, 0xFFFF]
                    .choose(rng)
                    .unwrap();
                input[at..at + 2].copy_from_slice(&edge.to_be_bytes());
            }
            _ => {
                let other = others.choose(rng).unwrap();
                let from = rng.random_range(0..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
        }
    }
    input.truncate(4096);
}

fn fuzz(name: &str, target: fn(&[u8])) {
    let seconds = env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    // The seed changes each day; a failure prints it.
    let seed = env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut corpus = seeds::of(name);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0u64;
    for input in corpus.clone() {
        target(&input);
    }
    while Instant::now() < until {
        let mut input = corpus.choose(&mut rng).unwrap().clone();
        change(&mut rng, &mut input, &corpus);
        if panic::catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            panic!("{name} fails (seed {seed}) on {input:?}");
        }
        runs += 1;
        if rng.random_ratio(1, 8) {
            let at = rng.random_range(0..KEPT);
            match corpus.get_mut(at) {
                Some(old) => *old = input,
                None => corpus.push(input),
            }
        }
    }
    println!("{name}: {runs} inputs in {seconds} s, seed {seed}");
    assert!(runs > 0);
}

macro_rules! each {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name), targets::$name);
        })*

        #[test]
        fn every_target_is_run() {
            let names = [$(stringify!($name)),*];
            assert_eq!(targets::ALL.map(|(name, _)| name), names);
        }
    };
}

each!(stun_message, stream_framing, channel_data, turn_server, signaling_frames, socketio_packets);
