//! `--framing none`: clients of a plain forwarder.
//!
//! A forwarder opens a socket towards the peer when it first hears of a client. Each client says
//! who it is once, and where that comes from is what a relayed address is in TURN.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::bail;

use super::{
    LoadArgs,
    client::{Client, Clients, open_peer, socket_to},
};

/// What a hello begins with; the number of the client follows. It is shorter than any data.
const HELLO: [u8; 8] = *b"callbox?";
const LEN: usize = HELLO.len() + 4;

/// How many hellos are on the way at a time, how long they are waited for, and how often they are
/// sent again.
const WAVE: usize = 64;
const TIMEOUT: Duration = Duration::from_millis(250);
const ATTEMPTS: usize = 8;

/// Opens the clients and the peer, and finds out where the peer reaches each client.
pub(super) fn open(args: &LoadArgs) -> anyhow::Result<(Clients, UdpSocket)> {
    let socket = || socket_to(args.server, args.client_ip);
    let peer = open_peer(args, socket()?.local_addr()?.ip())?;
    peer.set_read_timeout(Some(TIMEOUT))?;
    let mut relayed = vec![None; args.clients];
    let sockets: Vec<_> = (0..args.clients).map(|_| socket()).collect::<anyhow::Result<_>>()?;
    for from in (0..args.clients).step_by(WAVE) {
        let wave = from..(from + WAVE).min(args.clients);
        for _ in 0..ATTEMPTS {
            for at in wave.clone().filter(|at| relayed[*at].is_none()) {
                // A refusal (ICMP) is told by the next call on the socket, and counts as silence.
                let _ = sockets[at].send(&hello(at));
            }
            while relayed[wave.clone()].iter().any(Option::is_none) {
                let Some((at, source)) = hear(&peer)? else { break };
                if let Some(relayed) = relayed.get_mut(at) {
                    *relayed = Some(source);
                }
            }
        }
        if let Some(silent) = relayed[wave].iter().position(Option::is_none) {
            bail!(
                "nothing of client {} came through; is there a forwarder at {}, does it send to \
                 {}, and has it room for {} clients?",
                from + silent,
                args.server,
                peer.local_addr()?,
                args.clients
            );
        }
    }
    let clients = sockets.into_iter().zip(relayed);
    let all = clients.map(|(s, at)| Client::plain(s, at.unwrap_or(args.server))).collect();
    Ok((Clients::plain(all), peer))
}

fn hello(at: usize) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&HELLO);
    bytes[8..].copy_from_slice(&(at as u32).to_be_bytes());
    bytes
}

/// Waits for the next hello, and tells whose it is; `None` if none comes in time.
fn hear(peer: &UdpSocket) -> io::Result<Option<(usize, SocketAddr)>> {
    let mut bytes = [0; LEN + 1];
    loop {
        match peer.recv_from(&mut bytes) {
            Ok((LEN, source)) if bytes[..8] == HELLO => {
                let [.., a, b, c, d, _] = bytes;
                return Ok(Some((u32::from_be_bytes([a, b, c, d]) as usize, source)));
            }
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
}
