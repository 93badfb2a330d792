//! The count of Binding requests that a server answers in a second.

use std::time::{Duration, Instant};

use callbox_client::Request;
use callbox_sys::{ReceiveBatch, SendBatch, TrafficClass};
use mio::net::UdpSocket;

use super::{LoadArgs, sockets};

/// The number of sockets, and of requests that each has on the way.
const SOCKETS: usize = 16;
const WINDOW: usize = 32;

/// The number of requests that one call sends: fewer would cost more than the server's part.
const AT_ONCE: usize = 16;

/// The silence after which the requests on the way count as lost.
const MAX_SILENCE: Duration = Duration::from_millis(100);

const SUCCESS: [u8; 2] = [0x01, 0x01];

struct Asker {
    socket: UdpSocket,
    on_the_way: usize,
    heard: Instant,
}

/// Keeps requests on the way for as long as the arguments say; returns how many were answered, and
/// in which time.
pub(super) fn count(args: &LoadArgs) -> anyhow::Result<(u64, Duration)> {
    let request = Request::binding().to_message()?;
    let asker = |_| {
        let socket = sockets::client(args)?;
        Ok(Asker { socket, on_the_way: 0, heard: Instant::now() })
    };
    let mut askers: Vec<_> = (0..SOCKETS).map(asker).collect::<anyhow::Result<_>>()?;
    let mut batch = SendBatch::default();
    let mut answers = ReceiveBatch::new(WINDOW, 256, 0, 0);
    let started = Instant::now();
    let mut answered = 0;
    while started.elapsed() < args.binding {
        let now = Instant::now();
        for asker in &mut askers {
            if let Ok(count) = answers.receive(&asker.socket, 0..WINDOW) {
                let is_success = |slot: &usize| {
                    let range = answers.received(*slot).map(|received| received.bytes);
                    range.is_some_and(|range| answers.buffer()[range].starts_with(&SUCCESS))
                };
                answered += (0..count).filter(is_success).count() as u64;
                asker.on_the_way = asker.on_the_way.saturating_sub(count);
                asker.heard = now;
            } else if now.saturating_duration_since(asker.heard) > MAX_SILENCE {
                (asker.on_the_way, asker.heard) = (0, now);
            }
            if asker.on_the_way + AT_ONCE <= WINDOW {
                for _ in 0..AT_ONCE {
                    batch.push(
                        None,
                        TrafficClass::DEFAULT,
                        0..request.raw.len(),
                        request.raw.len(),
                    );
                }
                // Requests that the system does not take, or nobody hears, are lost.
                let _ = batch.send(&asker.socket, &request.raw);
                asker.on_the_way += AT_ONCE;
            }
        }
        std::thread::yield_now();
    }
    Ok((answered, started.elapsed()))
}
