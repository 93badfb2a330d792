//! A packet on its way through the relay causes no heap allocation: counted by the allocator, while
//! another process sends.
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

/// Counts what other threads than the test's own allocate.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    // A thread that is about to end has no such flag any more, and relays nothing.
    if !OWN.try_with(Cell::get).unwrap_or(true) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

#[allow(unsafe_code, reason = "an allocator that hands everything on to the system's")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many packets there are in a row without one allocation.
const COUNTED: u64 = 50_000;

/// How often the batches may still have to grow, since they double each time.
const GROWTHS: usize = 5;

/// All in one test, since others in this process would be counted too.
#[test]
fn a_packet_on_its_way_allocates_nothing() {
    OWN.set(true);
    for workers in [1, 2] {
        for path in ["up", "down", "clients"] {
            for framing in ["channel", "indication"] {
                for burst in [&[][..], &["--burst", "8", "--gso"]] {
                    // One for each load, which leaves its allocations behind.
                    // Each packet is weighed and counted, and none is too many.
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
