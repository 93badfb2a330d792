//! Numbered packets on a connection, and how many of them arrive.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time};
use webrtc_util::Conn;

/// The first bytes of a packet. A STUN message begins with two zero bits (RFC 8489 §5).
const MARK: &[u8; 8] = b"natlab #";

/// The length of a packet in bytes, about that of a packet of audio.
const LENGTH: usize = 160;

/// The time between two packets.
const INTERVAL: Duration = Duration::from_millis(20);

/// The time in which the last packets arrive, after the other peer has said that they are sent.
const LATEST: Duration = Duration::from_secs(1);

/// Sends numbered packets.
pub(crate) async fn send(conn: &(dyn Conn + Send + Sync), count: u32) {
    let mut clock = time::interval(INTERVAL);
    let mut packet = [0; LENGTH];
    packet[..MARK.len()].copy_from_slice(MARK);
    for number in 0..count {
        clock.tick().await;
        packet[MARK.len()..MARK.len() + 4].copy_from_slice(&number.to_be_bytes());
        // One that cannot be sent is lost.
        let _ = conn.send(&packet).await;
    }
}

fn number(packet: &[u8]) -> Option<u32> {
    let number = packet.strip_prefix(MARK)?.first_chunk()?;
    Some(u32::from_be_bytes(*number))
}

/// The packets that have arrived.
#[derive(Debug, Default)]
pub(crate) struct Received {
    numbers: Mutex<HashSet<u32>>,
    arrived: Notify,
}

impl Received {
    /// Takes all packets of a connection from now on.
    pub(crate) fn collect(conn: Arc<dyn Conn + Send + Sync>) -> Arc<Self> {
        let received = Arc::new(Self::default());
        let collected = Arc::clone(&received);
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok(length) = conn.recv(&mut buffer).await {
                if let Some(number) = number(&buffer[..length]) {
                    let mut numbers =
                        collected.numbers.lock().unwrap_or_else(PoisonError::into_inner);
                    numbers.insert(number);
                    collected.arrived.notify_one();
                }
            }
        });
        received
    }

    /// Waits until so many have arrived or no more come, and returns their number.
    pub(crate) async fn wait_for(&self, count: u32) -> u32 {
        let all = async {
            while self.count() < count {
                self.arrived.notified().await;
            }
        };
        // The rest is lost.
        let _ = time::timeout(LATEST, all).await;
        self.count()
    }

    fn count(&self) -> u32 {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        u32::try_from(numbers.len()).unwrap_or(u32::MAX)
    }
}
