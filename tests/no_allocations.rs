//! The relay forwards packets without heap allocations: the allocator counts them while another
//! process sends.

#![allow(clippy::unwrap_used, reason = "a helper of tests that fails shows where")]
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "this test uses a part of it")]
#[path = "it/support/mod.rs"]
mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use support::*;

/// Counts the allocations of threads other than the test's own.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    // This flag is gone in a thread that is about to end, which relays nothing.
    if !OWN.try_with(Cell::get).unwrap_or(true) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

#[allow(unsafe_code, reason = "an allocator that hands everything on to the system's")]
// SAFETY: each call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of packets in a row that must cause no allocation.
const COUNTED: u64 = 50_000;

/// The maximum number of times that the batches may grow, since they double each time.
const GROWTHS: usize = 5;

/// All checks are in one test, since other tests in this process would be counted as well.
#[test]
fn a_relayed_packet_allocates_nothing() {
    OWN.set(true);
    for workers in [1, 2] {
        for path in ["up", "down", "clients"] {
            for framing in ["channel", "indication"] {
                for burst in [&[][..], &["--burst", "8", "--gso"]] {
                    // One server for each load, which leaves its allocations open. Limits are
                    // checked for each packet, and reached by none.
                    let server = start(workers, |turn| {
                        turn.max_bandwidth = 1 << 40;
                        turn.max_bandwidth_per_user = 1 << 40;
                        turn.max_packet_rate = 1 << 40;
                        turn.max_packet_rate_per_user = 1 << 40;
                    });
                    let at = server.address(false).to_string();
                    let mut load = Command::new(env!("CARGO_BIN_EXE_callbox"))
                        .args(["load", "--server", &at, "--user", USER, "--password", PASSWORD])
                        .args(["--path", path, "--framing", framing, "--duration", "60s"])
                        .args(["--clients", "20"])
                        .args(burst)
                        .stdout(Stdio::null())
                        .spawn()
                        .unwrap();
                    let what = format!("{path}, {framing}, {burst:?}, {workers} workers");
                    let relayed = || {
                        let metrics = server.relay.metrics();
                        metrics.packets_up + metrics.packets_down
                    };
                    let reach = |wanted| wait_until(&what, || relayed() >= wanted);
                    reach(COUNTED);
                    let allocations: Vec<_> = (0..=GROWTHS)
                        .map(|_| {
                            let before = COUNT.load(Ordering::Relaxed);
                            reach(relayed() + COUNTED);
                            COUNT.load(Ordering::Relaxed) - before
                        })
                        .take_while(|allocations| *allocations > 0)
                        .collect();
                    load.kill().unwrap();
                    load.wait().unwrap();
                    assert!(allocations.len() <= GROWTHS, "{what}: {allocations:?}");
                }
            }
        }
    }
}
