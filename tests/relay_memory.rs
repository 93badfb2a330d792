//! Floods of invalid and of unauthenticated datagrams do not grow the relay's memory.

#![allow(clippy::unwrap_used, reason = "a helper of tests that fails shows where")]

#[allow(dead_code, reason = "this test uses a part of it")]
#[path = "it/support/mod.rs"]
mod support;

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    sync::Mutex,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use support::*;

/// Serializes the tests, since they measure the memory of the process.
static ALONE: Mutex<()> = Mutex::new(());

/// Returns the resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A million datagrams: noise, mutated, truncated and lengthened requests, and invalid ChannelData.
/// The server still answers, and its memory does not grow.
#[test]
fn a_million_mutated_datagrams_do_not_grow_the_memory() {
    let _alone = ALONE.lock();
    const SEEDS: [&[u8]; 4] = [
        b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!",
        ALLOCATE,
        b"\x00\x16\x00\x18\x21\x12\xa4\x42transaction!\x00\x12\x00\x08\x00\x01\x21\x13\x5e\x12\xa4\x43\x00\x13\x00\x05hello\x00\x00\x00",
        b"\x40\x00\x00\x04data",
    ];
    let server = start(1, |_| {});
    let at = server.address(false);
    let mut rng = StdRng::seed_from_u64(7);
    let sockets: Vec<_> = (0..16).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut flood = |count: usize| {
        for n in 0..count {
            let mut bytes = if rng.random_ratio(1, 4) {
                let mut noise = vec![0; rng.random_range(0..200)];
                rng.fill(&mut noise[..]);
                noise
            } else {
                SEEDS[rng.random_range(0..SEEDS.len())].to_vec()
            };
            for _ in 0..rng.random_range(0..4) {
                if !bytes.is_empty() {
                    let index = rng.random_range(0..bytes.len());
                    bytes[index] = rng.random();
                }
            }
            if rng.random_ratio(1, 8) {
                bytes.truncate(rng.random_range(0..=bytes.len()));
            }
            sockets[n % sockets.len()].send_to(&bytes, at).unwrap();
            if n % 256 == 255 {
                // The server's pace, so that none is lost before it.
                assert!(answers(at), "after {n} datagrams");
            }
        }
    };
    flood(50_000);
    let before = resident();
    flood(1_000_000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes more");
    assert_eq!(server.relay.metrics().allocations_opened, 0);
    let seen: u64 = server.relay.metrics().drops.iter().map(|(_, n)| n).sum();
    assert!(seen > 500_000, "only {seen} were dropped");
}

/// Unauthenticated Allocates from 20,000 addresses (each 127.x.y.z is one): each gets a challenge,
/// and no state is kept for any of them.
#[test]
fn a_flood_from_many_addresses_does_not_grow_the_memory() {
    let _alone = ALONE.lock();
    let server = start(1, |_| {});
    let at = server.address(false);
    let flood = |from: u32, to: u32| {
        for n in from..to {
            let ip = Ipv4Addr::from(0x7F00_0000 + 0x10000 + n);
            let socket = UdpSocket::bind((ip, 0)).unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            socket.send_to(ALLOCATE, at).unwrap();
            let mut buffer = [0; 200];
            let len = socket.recv(&mut buffer).unwrap();
            assert!(buffer[..2] == [1, 0x13] && len < 120, "a 401, and a small one");
        }
    };
    flood(0, 2_000);
    let before = resident();
    flood(2_000, 20_000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more");
    assert_eq!(server.relay.metrics().allocations_opened, 0);
}
