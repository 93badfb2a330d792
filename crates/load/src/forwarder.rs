//! `--framing none`: clients of a plain forwarder.
//!
//! A forwarder opens a socket towards the peer when it first hears of a client. Each client says
//! who it is once, and the address that this comes from is what a relayed address is in TURN.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::bail;
use mio::Events;

use super::clients::Clients;

/// The first bytes of a hello; the index of the client follows. It is shorter than any data.
const HELLO: [u8; 8] = *b"callbox?";
const LEN: usize = HELLO.len() + 4;

/// The number of hellos on the way at a time.
const WAVE: usize = 64;
/// The time until a hello counts as lost.
const TIMEOUT: Duration = Duration::from_millis(250);
/// The number of times that a hello is sent.
const ATTEMPTS: usize = 8;

/// Learns the address at which the peer reaches each client.
pub(super) fn learn_addresses(clients: &mut Clients, server: SocketAddr) -> anyhow::Result<()> {
    let count = clients.len();
    let mut known = vec![false; count];
    for from in (0..count).step_by(WAVE) {
        let wave = from..(from + WAVE).min(count);
        for _ in 0..ATTEMPTS {
            for index in wave.clone().filter(|index| !known[*index]) {
                // The next call on the socket reports a refusal (ICMP), which counts as silence.
                let _ = clients.get(index).socket().send(&hello(index));
            }
            let until = Instant::now() + TIMEOUT;
            while known[wave.clone()].contains(&false) {
                let Some((index, source)) = receive(clients, until)? else { break };
                if index < count {
                    clients.get_mut(index).set_relayed(source);
                    known[index] = true;
                }
            }
        }
        if let Some(silent) = known[wave].iter().position(|known| !known) {
            bail!(
                "nothing of client {} came through; is there a forwarder at {server}, does it send \
                 to {}, and has it room for {count} clients?",
                from + silent,
                clients.peer_address()
            );
        }
    }
    Ok(())
}

fn hello(index: usize) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&HELLO);
    bytes[8..].copy_from_slice(&(index as u32).to_be_bytes());
    bytes
}

/// Waits for the next hello; returns the index of its client and the source, or `None` if none
/// comes in time.
fn receive(clients: &mut Clients, until: Instant) -> io::Result<Option<(usize, SocketAddr)>> {
    let mut bytes = [0; LEN + 1];
    let mut events = Events::with_capacity(WAVE);
    loop {
        match clients.peer().recv_from(&mut bytes) {
            Ok((LEN, source)) if bytes[..8] == HELLO => {
                let [.., a, b, c, d, _] = bytes;
                return Ok(Some((u32::from_be_bytes([a, b, c, d]) as usize, source)));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(None);
                }
                clients.poll(&mut events, left)?;
            }
            Err(error) => return Err(error),
        }
    }
}
